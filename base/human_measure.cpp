#include "regroup/base/human_measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "regroup/base/human_number.h"

namespace regroup {

std::string human_latency(double seconds) {
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  if (seconds < 100) return fmt::format("{:.3g} s", seconds);
  return human_seconds(seconds);
}

std::string human_mean_bytes(double bytes) {
  constexpr double kMost = 0x1p62;
  return human_bytes(static_cast<int64_t>(std::clamp(std::round(bytes), 0.0, kMost)));
}

std::string human_rate(double per_second) {
  return per_second < 1000 ? fmt::format("{:.4g}", per_second) : fmt::format("{:.0f}", per_second);
}

}  // namespace regroup
