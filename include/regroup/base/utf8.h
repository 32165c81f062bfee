#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace regroup {

/// A character and how many bytes of UTF-8 it takes; 0 bytes: not well-formed.
struct CodePoint {
  uint32_t value = 0;
  size_t length = 0;
};
/// Decodes the character at the front of `text`, which is not empty.
CodePoint decode_front(std::string_view text);

/// The position of the first byte that is not well-formed UTF-8; the size of `text` if there is none.
size_t utf8_prefix(std::string_view text);

/// True if `text` is well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

}  // namespace regroup
