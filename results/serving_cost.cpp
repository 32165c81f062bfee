#include "regroup/results/serving_cost.h"

#include <algorithm>

namespace regroup {

bool costs_differ(std::span<const double> costs) {
  constexpr double kLeastRatio = 1.02;
  if (costs.empty()) return false;
  const auto [least, most] = std::ranges::minmax(costs);
  return most > kLeastRatio * least;
}

}  // namespace regroup
