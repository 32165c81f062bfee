#include "regroup/base/quantity.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

/// A smaller number without a unit is one whose unit was forgotten: no GPU and no shard is so small.
constexpr int64_t kMinBareBytes = 1 << 20;

/// The power that a unit's first letter stands for; 0: no unit, -1: unknown.
int power_of(char letter) {
  switch (letter) {
    case 'k':
    case 'K':
      return 1;
    case 'm':
    case 'M':
      return 2;
    case 'g':
    case 'G':
      return 3;
    case 't':
    case 'T':
      return 4;
    default:
      return -1;
  }
}

[[noreturn]] void refuse(const std::string& text, const std::string& flag, bool bytes,
                         const char* rule) {
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must be {}, found \"{}\"", flag, rule, printable(text, 60)),
       .hint = bytes ? "write a number and its unit: B, kB, MB, GB, TB, KiB, MiB, GiB or TiB"
                     : "write a number, with k, M, G or T behind it if you like"});
}

int64_t parse(const std::string& text, const std::string& flag, double base, bool bytes,
              const char* rule) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) refuse(text, flag, bytes, rule);
  std::string unit(rest, text.data() + text.size());
  if (unit.starts_with(' ')) unit.erase(0, 1);
  if (bytes && (unit.ends_with('B') || unit.ends_with('b'))) unit.pop_back();
  if (bytes && unit.size() == 2 && unit[1] == 'i') {
    base = 1024;
    unit.pop_back();
  }
  const int power = unit.empty() ? 0 : unit.size() == 1 ? power_of(unit[0]) : -1;
  if (power < 0) refuse(text, flag, bytes, rule);
  value *= std::pow(base, power);
  if (!(value >= 1) || value > 9e18) refuse(text, flag, bytes, rule);
  if (!bytes && value != std::floor(value)) refuse(text, flag, bytes, rule);
  return static_cast<int64_t>(value);
}

}  // namespace

int64_t parse_size(const std::string& text, const std::string& flag) {
  const int64_t bytes =
      parse(text, flag, 1000, true, "a positive size such as 80GiB, 1.5GB or 512M");
  const bool bare = text.find_first_not_of("0123456789.+-eE") == std::string::npos;
  if (bare && bytes < kMinBareBytes) {
    throw ConfigError(
        {.code = "FLAG_VALUE",
         .message = fmt::format("{} must have a unit, found \"{}\", which is {} bytes", flag,
                                printable(text, 60), bytes),
         .hint =
             fmt::format("write {0}GiB, {0}MiB, or {0}B if bytes are meant", printable(text, 60))});
  }
  return bytes;
}

int64_t parse_count(const std::string& text, const std::string& flag) {
  return parse(text, flag, 1000, false, "a positive whole number such as 1000, 5M or 20e6");
}

int64_t parse_context(const std::string& text, const std::string& flag) {
  return parse(text, flag, 1024, false,
               "a positive number of tokens such as 4096 or 64k (= 65,536)");
}

double parse_duration(const std::string& text, const std::string& flag) {
  double value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const std::string unit(rest, text.data() + text.size());
  const double scale = unit == "s" ? 1 : unit == "min" ? 60 : unit == "h" ? 3600 : 0;
  if (error == std::errc() && value * scale > 0 && std::isfinite(value)) return value * scale;
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("{} must be a positive time such as 90s, 10min or "
                                            "1.5h, found \"{}\"",
                                            flag, printable(text, 60)),
                     .hint = "write a number and its unit: s, min or h"});
}

}  // namespace regroup
