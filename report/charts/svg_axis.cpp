// Ticks and their texts.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "charts/svg_chart.h"
#include "regroup/base/human_number.h"

namespace regroup {
namespace {

/// The smallest of 1, 2, 5 times a power of ten that is at least `rough`.
double nice_step(double rough) {
  const double power = std::pow(10.0, std::floor(std::log10(rough)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= rough * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

}  // namespace

std::vector<double> linear_ticks(double low, double high, int max) {
  std::vector<double> ticks;
  const double step = nice_step((high - low) / std::max(1, max - 1));
  if (!std::isfinite(step) || !(step > 0)) return {low};
  const double slack = step * 1e-9;
  for (double k = std::ceil((low - slack) / step); k * step <= high + slack; k += 1) {
    ticks.push_back(k * step + 0.0);  // never -0
    if (ticks.size() > 100) break;    // steps too small for the numbers' precision
  }
  return ticks;
}

std::vector<double> log_ticks(double low, double high, int max) {
  const int first = static_cast<int>(std::floor(std::log10(low)));
  const int last = static_cast<int>(std::ceil(std::log10(high)));
  const auto collect = [&](const std::vector<double>& factors, int every) {
    std::vector<double> ticks;
    for (int k = first; k <= last; ++k) {
      if (k % every != 0) continue;
      for (const double factor : factors) {
        const double tick = factor * std::pow(10.0, k);
        if (tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9)) ticks.push_back(tick);
      }
    }
    return ticks;
  };
  std::vector<double> ticks = collect({1, 2, 5}, 1);
  if (ticks.size() < 2) return linear_ticks(low, high, max);  // less than a decade
  for (int every = 1; ticks.size() > static_cast<size_t>(max) && every < 700; ++every) {
    ticks = collect({1}, every);
  }
  return ticks;
}

std::string tick_text(double value, AxisFormat format) {
  if (format == AxisFormat::kBytes) return human_bytes(std::llround(value));
  if (format == AxisFormat::kCount && value >= 1000) {
    constexpr std::array<std::pair<double, const char*>, 4> kUnits = {
        {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}}};
    for (const auto& [unit, name] : kUnits) {
      if (value >= unit) return fmt::format("{:.6g} {}", value / unit, name);
    }
  }
  return fmt::format("{:.6g}", value);
}

}  // namespace regroup
