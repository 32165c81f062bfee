#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/serving/capacity.h"
#include "regroup/serving/reserve.h"

namespace regroup {

/// A plan as people read it.
struct PlanView {
  const CacheLayout& layout;
  const CapacityRequest& request;
  const CapacityPlan& plan;
  const std::string& kv_dtype;
  std::optional<Reserve> reserve;   ///< where it was estimated
  std::vector<std::string> damage;  ///< a cell for each option; empty: nothing was measured
  std::string cost;                 ///< what the measurements say, as a sentence; may be empty
};

std::string plan_text(const PlanView& view);

}  // namespace regroup
