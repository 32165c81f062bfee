#pragma once

#include <string>

#include "regroup/uptrain/trainer.h"

namespace regroup {

/// Says beforehand that a pass over text begins which no line of a step shows, where it takes seconds.
/// @param what             "choosing the learning rate"
/// @param flops_per_token  of all models that take part
void announce_pass(const TrainObserver& observer, const std::string& what, int64_t tokens,
                   double flops_per_token);

}  // namespace regroup
