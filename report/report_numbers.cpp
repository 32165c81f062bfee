#include "report_numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/human_number.h"
#include "writers/escape.h"

namespace regroup {

std::string short_number(double value) {
  if (!std::isfinite(value)) return kNothing;
  return fmt::format("{:.4g}", value + 0.0);
}

std::string measured_text(const std::optional<Measured>& value, double factor, const char* unit) {
  if (!value || !std::isfinite(value->value)) return kNothing;
  const double number = value->value * factor;
  if (!value->error || !std::isfinite(*value->error)) return short_number(number) + unit;
  const double error = *value->error * factor;
  if (!(error > 0)) return short_number(number) + unit;
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(error))), 0, 9);
  return fmt::format("{} ± {:.{}f}{}", without_zero_sign(fmt::format("{:.{}f}", number, decimals)),
                     error, decimals, unit);
}

Cell measured_cell(const std::optional<Measured>& value, double factor, const char* unit) {
  const std::string text = measured_text(value, factor);
  const size_t sign = text.find(" ± ");
  if (sign == std::string::npos) return {text == kNothing ? text : text + unit};
  return {.text = text.substr(0, sign) + unit, .note = text.substr(sign + 1)};
}

std::string memory_share(int64_t part, int64_t whole) {
  if (part == whole) return "the same memory";
  if (part * 2 == whole) return "half the memory";
  if (part * 4 == whole) return "a quarter of the memory";
  if (part * 8 == whole) return "an eighth of the memory";
  const double share = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.3g} % of the memory", share);
}

std::string grouped_digits(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string heads_text(int64_t n_kv_heads) {
  return fmt::format("{} KV head{}", n_kv_heads, n_kv_heads == 1 ? "" : "s");
}

std::string shorten_name(const std::string& name) { return shorten(name, 60); }

}  // namespace regroup
