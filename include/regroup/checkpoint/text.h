#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// `text` made safe for a terminal or a log: control, bidi and zero-width characters and invalid
/// UTF-8 become \u{..} or \x.. escapes; cut to `most` bytes.
std::string printable(std::string_view text, size_t most = 200);

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

/// The candidate with the smallest edit distance to `word`, or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

/// 1536 -> "1.5 KiB".
std::string human_bytes(int64_t bytes);
/// 1234567 -> "1.23 M".
std::string human_count(double count);
/// 3725 s -> "1 h 02 min".
std::string human_seconds(double seconds);
/// "-0.00" -> "0.00": what rounds to zero has no sign.
std::string without_zero_sign(std::string number);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace regroup
