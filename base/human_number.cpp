#include "regroup/base/human_number.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstddef>

namespace regroup {

std::string human_bytes(int64_t bytes) {
  constexpr std::array<const char*, 7> kUnits = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (std::abs(value) >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.4g} {}", value, kUnits[unit]);
}

std::string human_count(double count) {
  if (count >= 1e12) return fmt::format("{:.3g} T", count / 1e12);
  if (count >= 1e9) return fmt::format("{:.3g} B", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.3g} M", count / 1e6);
  if (count >= 1e4) return fmt::format("{:.3g} k", count / 1e3);
  return fmt::format("{:.0f}", count);
}

std::string human_seconds(double seconds) {
  if (!(seconds >= 0 && seconds < 1e15)) return "?";
  const auto s = int64_t{std::llround(seconds)};
  if (s < 60) return fmt::format("{} s", s);
  if (s < 3600) return fmt::format("{} min {:02d} s", s / 60, s % 60);
  return fmt::format("{} h {:02d} min", s / 3600, s % 3600 / 60);
}

std::string without_zero_sign(std::string number) {
  const bool zero = number.find_first_not_of("-0.") == std::string::npos;
  if (zero && number.starts_with('-')) number.erase(0, 1);
  return number;
}

}  // namespace regroup
