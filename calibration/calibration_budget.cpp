#include "calibration_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/error.h"
#include "regroup/base/human_number.h"

namespace regroup {
namespace {

constexpr int kStridesPerDoubling = 8;
constexpr int kSmallest = -5 * kStridesPerDoubling;  // of the default
constexpr int kLargest = 7 * kStridesPerDoubling;

int64_t whole_windows(double tokens, int64_t seq_len) {
  return static_cast<int64_t>(tokens) / seq_len * seq_len;
}

[[noreturn]] void refuse(const CalibrationBudget& budget, double limit, double min) {
  const std::string found =
      budget.seconds > 0
          ? fmt::format("about {}, found {}", human_seconds(min), human_seconds(limit))
          : fmt::format("{:.2g} FLOPs, found {:.2g}", min, limit);
  throw ConfigError({.code = "CALIBRATION_BUDGET",
                     .message = fmt::format("`calibration-budget` must be at least what the "
                                            "smallest calibration of this model takes: {}",
                                            found),
                     .hint = "give more, or convert without `calibration`"});
}

}  // namespace

CalibrationSpread spread_budget(const CalibrationOptions& options, int64_t seq_len,
                                int64_t available_tokens, int64_t needed_tokens, double limit,
                                const std::function<double(const CalibrationSpread&)>& cost) {
  const CalibrationBudget& budget = options.budget;
  const auto at_stride = [&](int stride) {
    const double scale = std::exp2(static_cast<double>(stride) / kStridesPerDoubling);
    CalibrationSpread spread{whole_windows(static_cast<double>(available_tokens), seq_len),
                             options.layer_steps, options.distill_steps.value_or(0)};
    if (budget.spreads_tokens) {
      const int64_t wanted = whole_windows(scale * kCalibrationTokens, seq_len);
      spread.tokens = std::min(spread.tokens, std::max(wanted, needed_tokens));
    }
    if (budget.spreads_steps) spread.steps = std::lround(scale * kLayerSteps);
    if (budget.spreads_distill) {
      spread.distill_steps = std::lround(scale * static_cast<double>(spread.distill_steps));
    }
    return spread;
  };
  const CalibrationSpread min = at_stride(kSmallest);
  if (cost(min) > limit) refuse(budget, limit, cost(min));
  int stride = kSmallest;
  while (stride < kLargest && cost(at_stride(stride + 1)) <= limit) ++stride;
  return at_stride(stride);
}

}  // namespace regroup
