#include "part_errors.h"

#include "regroup/base/error.h"
#include "tokenizer_files.h"

namespace regroup {

void refuse_part(const std::string& path, const std::string& message) {
  throw UnsupportedError(
      {.code = "TOK_UNSUPPORTED", .message = message, .path = path, .hint = kTokenizeElsewhere});
}

void wrong_part(const std::string& path, const char* code, const std::string& message) {
  throw CheckpointError({.code = code,
                         .message = message,
                         .path = path,
                         .hint = "the file is damaged; fetch it again"});
}

}  // namespace regroup
