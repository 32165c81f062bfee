#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

namespace regroup {

/// What it costs to merge these heads (ascending); smaller is better. Called from many threads at once, and
/// so without tensor operations.
using GroupCost = std::function<double(const std::vector<int64_t>& members)>;

/// Cuts heads [0, n_heads) into groups of `group_size` with the smallest sum of costs: exactly up to
/// kMaxExactHeads heads (dynamic programming over sets), by seeded random swaps above.
/// @return the order of heads: groups one after another, members ascending, groups by their first
///         member, so that contiguous groups give the identity
std::vector<int64_t> best_grouping(int64_t n_heads, int64_t group_size, const GroupCost& cost,
                                   uint64_t seed);

inline constexpr int64_t kMaxExactHeads = 20;

/// Minus the sum of similarities of all pairs of the group.
GroupCost pair_cost(const at::Tensor& similarity);

}  // namespace regroup
