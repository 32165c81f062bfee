#include "parquet_errors.h"

#include "regroup/base/error.h"

namespace regroup::parquet {

void refuse(const char* code, const std::string& place, const std::string& message,
            const std::string& hint) {
  throw CheckpointError({.code = code, .message = message, .path = place, .hint = hint});
}

void refuse_unsupported(const std::string& place, const std::string& message) {
  throw UnsupportedError(
      {.code = "PARQUET_UNSUPPORTED", .message = message, .path = place, .hint = kWriteLines});
}

}  // namespace regroup::parquet
