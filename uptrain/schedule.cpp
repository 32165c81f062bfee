#include "regroup/uptrain/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace regroup {

double Schedule::learning_rate(int64_t step) const {
  if (step <= warmup_steps) {
    return peak * static_cast<double>(step) / static_cast<double>(warmup_steps);
  }
  // 0 right after the warm-up, 1 at the last step.
  const auto span = static_cast<double>(std::max<int64_t>(1, steps - warmup_steps));
  const double progress = std::min(1.0, static_cast<double>(step - warmup_steps) / span);
  switch (kind) {
    case ScheduleKind::kConstant:
      return peak;
    case ScheduleKind::kLinear:
      return peak + (floor - peak) * progress;
    case ScheduleKind::kCosine:
      return floor + (peak - floor) * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    case ScheduleKind::kWsd: {
      const double decay_steps = decay_fraction * static_cast<double>(steps);
      const double into = static_cast<double>(step) - (static_cast<double>(steps) - decay_steps);
      if (into <= 0 || decay_steps <= 0) return peak;
      return floor + (peak - floor) * (1 - std::sqrt(std::min(1.0, into / decay_steps)));
    }
  }
  return peak;
}

}  // namespace regroup
