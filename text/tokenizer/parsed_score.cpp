#include "parsed_score.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace regroup {

double parsed_score(double value) {
  // The shortest digits that give the value are those that such files hold: "d.dddde-xx".
  std::array<char, 40> text;
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), std::abs(value),
                                          std::chars_format::scientific);
  if (error != std::errc()) return value;
  const std::string_view spelling(text.data(), static_cast<size_t>(end - text.data()));
  const size_t e = spelling.find('e');
  uint64_t digits = 0;
  int exponent = 0;
  std::from_chars(spelling.data() + e + (spelling[e + 1] == '+' ? 2 : 1), end, exponent);
  for (size_t i = 0; i < e; ++i) {
    if (spelling[i] == '.') continue;
    digits = digits * 10 + static_cast<uint64_t>(spelling[i] - '0');
    if (i > 0) --exponent;
  }
  // Powers of ten up to 22 are doubles; a score has no others.
  if (std::abs(exponent) > 22) return value;
  double power = 1;
  for (int i = 0; i < std::abs(exponent); ++i) power *= 10;
  const auto whole = static_cast<double>(digits);
  return std::copysign(exponent < 0 ? whole / power : whole * power, value);
}

}  // namespace regroup
