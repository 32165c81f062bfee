#include "text_checks.h"

#include <fmt/format.h>

#include "regroup/base/error.h"
#include "regroup/base/utf8.h"

namespace regroup {

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

bool is_python_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

void require_text(std::string_view text, int64_t offset, const std::string& path) {
  const auto refuse = [&](const char* code, size_t at, const char* message, const char* hint) {
    throw CheckpointError(
        {.code = code,
         .message = fmt::format("{} at byte {}", message, offset + static_cast<int64_t>(at)),
         .path = path,
         .hint = hint});
  };
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    refuse("TEXT_BINARY", nul, "must be text, found a NUL byte",
           "is this a token file? Token files end in .bin");
  }
  if (const size_t valid = utf8_prefix(text); valid < text.size()) {
    refuse("TEXT_UTF8", valid, "must be UTF-8 text, found another byte",
           "convert it with iconv, or fetch it again");
  }
}

}  // namespace regroup
