#include "part_errors.h"

#include <fmt/format.h>

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

void GrowthLimit::fail(size_t grown) const {
  wrong_part(path_, "TOK_EXPANSION",
             fmt::format("the {} must not make a text {} times as long, found {} bytes for {}",
                         role_, kMaxGrowth, grown, bytes_));
}

}  // namespace regroup
