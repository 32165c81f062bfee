// Which heads form a group.
#include "head_order.h"

#include <ATen/Parallel.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "group_prices.h"
#include "grouping.h"

namespace regroup {
namespace {

using at::Tensor;

/// Kept heads, each followed by the dropped ones whose place it takes: the heads that add most to the
/// residual stream are kept (docs/methods.md, prune).
std::vector<int64_t> prune_order(int64_t n_kv_heads, const LayerStatistics& statistics,
                                 const HeadMoments& moments, const ModelConfig& parent) {
  const int64_t kv = parent.n_kv_heads;
  const Tensor importance =
      statistics.head_norm.defined()
          ? statistics.head_norm.view({kv, parent.group_size()}).sum(1)  // over its query heads
          : value_energy(moments);
  std::vector<int64_t> ranked(static_cast<size_t>(kv));
  std::iota(ranked.begin(), ranked.end(), int64_t{0});
  std::stable_sort(ranked.begin(), ranked.end(), [&](int64_t a, int64_t b) {
    return importance[a].item<double>() > importance[b].item<double>();
  });
  const auto cut = ranked.begin() + n_kv_heads;
  std::sort(ranked.begin(), cut);
  std::sort(cut, ranked.end());
  const int64_t dropped_each = kv / n_kv_heads - 1;
  std::vector<int64_t> order;
  for (int64_t g = 0; g < n_kv_heads; ++g) {
    order.push_back(ranked[static_cast<size_t>(g)]);
    const auto first = cut + g * dropped_each;
    order.insert(order.end(), first, first + dropped_each);
  }
  return order;
}

/// Multiplications, up to a factor, of the eigenproblems of values, and of keys where position turns nothing, for
/// every group that can be formed.
double pricing_work(int64_t n_heads, int64_t size, const ModelConfig& parent) {
  double groups = 1;
  for (int64_t i = 0; i < size; ++i) {
    groups *= static_cast<double>(n_heads - i) / static_cast<double>(i + 1);
  }
  const auto cube = [size](int64_t channels) {
    return std::pow(static_cast<double>(size * channels), 3);
  };
  const auto unturned = static_cast<int64_t>(head_channels(parent).rest.size());
  return groups * (cube(parent.head_dim) + cube(unturned));
}

/// What every two heads would lose as a group of their own, [n, n].
Tensor pair_prices(int64_t n_heads, const GroupCost& cost) {
  const Tensor prices = at::zeros({n_heads, n_heads}, at::kDouble);
  double* at = prices.data_ptr<double>();
  at::parallel_for(0, n_heads * n_heads, 1, [&](int64_t first, int64_t last) {
    for (int64_t pair = first; pair < last; ++pair) {
      const int64_t i = pair / n_heads;
      const int64_t j = pair % n_heads;
      if (i < j) at[pair] = at[j * n_heads + i] = cost({i, j});
    }
  });
  return prices;
}

}  // namespace

std::vector<int64_t> choose_order(const ConvertOptions& request, int64_t layer,
                                  const LayerStatistics& statistics, const HeadMoments& moments,
                                  const ModelConfig& parent) {
  const int64_t kv = parent.n_kv_heads;
  const Grouping grouping = request.chosen_grouping();
  const uint64_t seed = request.seed + static_cast<uint64_t>(layer);
  const int64_t size = kv / request.n_kv_heads;
  if (request.method == Method::kPrune)
    return prune_order(request.n_kv_heads, statistics, moments, parent);
  std::vector<int64_t> order(static_cast<size_t>(kv));
  std::iota(order.begin(), order.end(), int64_t{0});
  if (size == 1 || size == kv || grouping == Grouping::kContiguous) return order;
  if (grouping == Grouping::kSimilarity) {
    return best_grouping(kv, size, pair_cost(aligned_similarity(moments)), seed);
  }
  const int64_t readers = parent.group_size();
  // Each over its own total, which makes keys and values comparable.
  const double keys = key_energy_seen(moments, readers).sum().item<double>();
  const double values = value_energy(moments).sum().item<double>();
  const GroupPrices prices(moments, readers);
  const GroupCost cost = [&](const Members& members) {
    return prices.keys(members) / std::max(keys, 1e-300) +
           prices.values(members) / std::max(values, 1e-300);
  };
  if (pricing_work(kv, size, parent) <= kMaxPricingWork) {
    return best_grouping(kv, size, cost, seed);
  }
  return best_grouping(kv, size, pair_cost(pair_prices(kv, cost).neg()), seed);
}

}  // namespace regroup
