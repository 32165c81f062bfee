#include "trace_time.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdint>

namespace regroup {
namespace {

/// Takes `digits` digits and, unless it is 0, the character `behind` from the front of `text`.
std::optional<int> take_digits(std::string_view& text, size_t digits, char behind = 0) {
  const size_t needed = digits + (behind != 0 ? 1 : 0);
  if (text.size() < needed) return std::nullopt;
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, value);
  if (error != std::errc() || end != text.data() + digits || value < 0) return std::nullopt;
  if (behind != 0 && text[digits] != behind) return std::nullopt;
  text.remove_prefix(needed);
  return value;
}

/// Days since 1970-01-01 at the front of `text`.
std::optional<int64_t> take_date(std::string_view& text) {
  const auto year = take_digits(text, 4, '-');
  const auto month = year ? take_digits(text, 2, '-') : std::nullopt;
  const auto day = month ? take_digits(text, 2) : std::nullopt;
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date).time_since_epoch().count();
}

std::optional<double> take_fraction(std::string_view& text) {
  if (text.empty() || (text[0] != '.' && text[0] != ',')) return 0.0;
  text.remove_prefix(1);
  double value = 0;
  double scale = 1;
  size_t n = 0;
  for (; n < text.size() && text[n] >= '0' && text[n] <= '9'; ++n) {
    value = value * 10 + (text[n] - '0');
    scale *= 10;
  }
  if (n == 0 || n > 12) return std::nullopt;
  text.remove_prefix(n);
  return value / scale;
}

/// Seconds that the zone at the end of a time is ahead of UTC.
std::optional<double> read_zone(std::string_view text) {
  if (text.empty() || text == "Z" || text == " UTC") return 0.0;
  const double sign = text[0] == '-' ? -1 : 1;
  if (text[0] != '+' && text[0] != '-') return std::nullopt;
  text.remove_prefix(1);
  const auto hours = take_digits(text, 2);
  if (hours && !text.empty() && text[0] == ':') text.remove_prefix(1);
  const auto minutes = hours && !text.empty() ? take_digits(text, 2) : std::optional<int>(0);
  if (!hours || !minutes || !text.empty() || *hours > 14 || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

}  // namespace

std::optional<double> parse_date_time(std::string_view text) {
  const auto days = take_date(text);
  if (!days || text.empty() || (text[0] != ' ' && text[0] != 'T')) return std::nullopt;
  text.remove_prefix(1);
  const auto hour = take_digits(text, 2, ':');
  const auto minute = hour ? take_digits(text, 2, ':') : std::nullopt;
  const auto second = minute ? take_digits(text, 2) : std::nullopt;
  if (!second || *hour > 23 || *minute > 59 || *second > 60) return std::nullopt;
  const auto fraction = take_fraction(text);
  const auto zone = fraction ? read_zone(text) : std::nullopt;
  if (!zone) return std::nullopt;
  const std::chrono::seconds whole = std::chrono::days(*days) + std::chrono::hours(*hour) +
                                     std::chrono::minutes(*minute) + std::chrono::seconds(*second);
  return static_cast<double>(whole.count()) - *zone + *fraction;
}

std::optional<double> parse_number(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return std::nullopt;
  }
  return value;
}

}  // namespace regroup
