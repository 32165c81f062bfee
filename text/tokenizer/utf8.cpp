#include "utf8.h"

#include <cstdint>

#include "regroup/base/utf8.h"

namespace regroup {
namespace {

constexpr std::string_view kReplacement = "\uFFFD";

/// The range of the second byte of a well-formed character.
struct SecondByte {
  unsigned char min = 0x80;
  unsigned char max = 0xBF;
};

SecondByte second_byte(unsigned char lead) {
  switch (lead) {
    case 0xE0:
      return {.min = 0xA0};
    case 0xED:
      return {.max = 0x9F};
    case 0xF0:
      return {.min = 0x90};
    case 0xF4:
      return {.max = 0x8F};
    default:
      return {};
  }
}

/// Bytes of the longest beginning of a character at the front of `bytes`, at least 1.
size_t broken_bytes(std::string_view bytes) {
  const auto lead = static_cast<unsigned char>(bytes[0]);
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const size_t whole = character_bytes(lead);
  SecondByte allowed = second_byte(lead);
  size_t n = 1;
  for (; n < whole && n < bytes.size(); ++n) {
    const auto byte = static_cast<unsigned char>(bytes[n]);
    if (byte < allowed.min || byte > allowed.max) break;
    allowed = {};
  }
  return n;
}

}  // namespace

char32_t character_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) {
    return static_cast<char32_t>(static_cast<unsigned char>(text[at + i]));
  };
  switch (character_bytes(static_cast<unsigned char>(text[at]))) {
    case 1:
      return byte(0);
    case 2:
      return (byte(0) & 0x1F) << 6 | (byte(1) & 0x3F);
    case 3:
      return (byte(0) & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    default:
      return (byte(0) & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 |
             (byte(3) & 0x3F);
  }
}

void append_character(std::string& text, char32_t character) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (character < 0x80) {
    put(character);
  } else if (character < 0x800) {
    put(0xC0 | character >> 6);
    put(0x80 | (character & 0x3F));
  } else if (character < 0x10000) {
    put(0xE0 | character >> 12);
    put(0x80 | (character >> 6 & 0x3F));
    put(0x80 | (character & 0x3F));
  } else {
    put(0xF0 | character >> 18);
    put(0x80 | (character >> 12 & 0x3F));
    put(0x80 | (character >> 6 & 0x3F));
    put(0x80 | (character & 0x3F));
  }
}

std::string repaired_utf8(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const size_t good = utf8_prefix(bytes);
    text += bytes.substr(0, good);
    bytes.remove_prefix(good);
    if (bytes.empty()) break;
    text += kReplacement;
    bytes.remove_prefix(broken_bytes(bytes));
  }
  return text;
}

}  // namespace regroup
