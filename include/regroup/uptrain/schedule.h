#pragma once

#include <cstdint>

#include "regroup/base/setting.h"

namespace regroup {

enum class ScheduleKind { kConstant, kLinear, kCosine, kWsd };
template <>
struct Words<ScheduleKind> {
  static constexpr auto all =
      std::to_array<Word<ScheduleKind>>({{"constant", ScheduleKind::kConstant},
                                         {"linear", ScheduleKind::kLinear},
                                         {"cosine", ScheduleKind::kCosine},
                                         {"wsd", ScheduleKind::kWsd}});
};

/// The learning rate as a pure function of the step, so that a checkpoint needs no scheduler state.
struct Schedule {
  ScheduleKind kind = ScheduleKind::kCosine;
  double peak = 1e-3;
  double floor = 0;
  int64_t warmup_steps = 0;  ///< linear from peak / warmup_steps to peak
  int64_t steps = 1;
  double decay_fraction =
      0.2;  ///< wsd: the share of all steps that decays (1 - sqrt), the rest is flat

  /// @param step  from 1, as metrics.jsonl counts
  double learning_rate(int64_t step) const;
};

}  // namespace regroup
