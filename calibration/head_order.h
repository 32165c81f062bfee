#pragma once

#include <cstdint>
#include <vector>

#include "layer_method.h"

namespace regroup {

/// A group is priced by its own eigenproblem up to this much work, counted as groups that can be formed
/// times the cube of an eigenproblem's side: at most some 20 s a layer on one core. Above, by what its
/// pairs would lose: the groups that minimise it are no longer those of the smallest residual for
/// certain.
inline constexpr double kMaxPricingWork = 4e9;

/// The parent's KV heads in the order in which neighbours become groups (docs/methods.md).
std::vector<int64_t> choose_order(const ConvertOptions& request, int64_t layer,
                                  const LayerStatistics& statistics, const HeadMoments& moments,
                                  const ModelConfig& parent);

}  // namespace regroup
