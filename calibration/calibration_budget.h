#pragma once

#include <cstdint>
#include <functional>

#include "calibration_cost.h"

namespace regroup {

/// Tokens in whole windows, steps a layer and steps of all layers together: what a budget is spread over.
struct CalibrationSpread {
  int64_t tokens = 0;
  int64_t steps = 0;
  int64_t distill_steps = 0;
};

/// The largest spread that costs no more than `limit`. Tokens and steps of both kinds grow together, as in the default,
/// until the text ends; what the flags fix stays. It moves in strides of 9 %, so that a rate
/// measured a little differently mostly gives the same numbers.
/// @param options  with distill_steps
/// @param cost  what a spread costs, in the unit of `limit`
/// @throws ConfigError CALIBRATION_BUDGET when even the smallest costs more, saying what it costs
CalibrationSpread spread_budget(const CalibrationOptions& options, int64_t seq_len,
                                int64_t available_tokens, int64_t needed_tokens, double limit,
                                const std::function<double(const CalibrationSpread&)>& cost);

}  // namespace regroup
