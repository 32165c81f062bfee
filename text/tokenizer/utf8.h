#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace regroup {

/// Bytes of the character of well-formed UTF-8 that begins with `lead`.
inline size_t character_bytes(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

/// The character at `at` of well-formed UTF-8.
char32_t character_at(std::string_view text, size_t at);

void append_character(std::string& text, char32_t character);

/// Bytes as text: each longest part of a character that is not complete becomes one U+FFFD, as Unicode
/// recommends and Rust does.
std::string repaired_utf8(std::string_view bytes);

}  // namespace regroup
