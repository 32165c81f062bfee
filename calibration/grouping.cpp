#include "grouping.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <numeric>
#include <unordered_map>

#include "regroup/base/uniform_stream.h"

namespace regroup {
namespace {

using Group = std::vector<int64_t>;

std::vector<int64_t> canonical(std::vector<Group> groups) {
  for (Group& group : groups) std::sort(group.begin(), group.end());
  std::sort(groups.begin(), groups.end());
  std::vector<int64_t> order;
  for (const Group& group : groups) order.insert(order.end(), group.begin(), group.end());
  return order;
}

/// The best partition of every set of heads that can be cut into whole groups, from the empty set up.
class ExactSearch {
 public:
  ExactSearch(int64_t n_heads, int64_t group_size, const GroupCost& cost)
      : n_(n_heads), m_(group_size), cost_(cost) {}

  std::vector<int64_t> run() {
    const uint32_t all = static_cast<uint32_t>((uint64_t{1} << n_) - 1);
    best_.assign(size_t{all} + 1, std::numeric_limits<double>::infinity());
    group_.assign(size_t{all} + 1, 0);
    best_[0] = 0;
    price_groups(all);
    for (uint32_t set = 0; set < all; ++set) {
      if (best_[set] == std::numeric_limits<double>::infinity()) continue;
      // The lowest head that is left opens the next group: each partition is seen once.
      const auto opener = static_cast<int64_t>(std::countr_one(set));
      extend(set, uint32_t{1} << opener, opener + 1, 1);
    }
    std::vector<Group> groups;
    for (uint32_t set = all; set != 0; set ^= group_[set]) groups.push_back(members(group_[set]));
    return canonical(std::move(groups));
  }

 private:
  void extend(uint32_t set, uint32_t group, int64_t next, int64_t size) {
    if (size == m_) {
      const double total = best_[set] + costs_.at(group);
      if (total < best_[set | group]) {
        best_[set | group] = total;
        group_[set | group] = group;
      }
      return;
    }
    for (int64_t head = next; head < n_; ++head) {
      const uint32_t bit = uint32_t{1} << head;
      if ((set & bit) == 0) extend(set, group | bit, head + 1, size + 1);
    }
  }

  /// Costs are small decompositions: each on one core, many at once.
  void price_groups(uint32_t all) {
    std::vector<uint32_t> groups;
    for (uint32_t set = 1; set <= all; ++set) {
      if (std::popcount(set) == m_) groups.push_back(set);
    }
    std::vector<double> costs(groups.size());
    at::parallel_for(0, static_cast<int64_t>(groups.size()), 1, [&](int64_t first, int64_t last) {
      for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(last); ++i) {
        costs[i] = cost_(members(groups[i]));
      }
    });
    for (size_t i = 0; i < groups.size(); ++i) costs_[groups[i]] = costs[i];
  }

  Group members(uint32_t group) const {
    Group found;
    for (int64_t head = 0; head < n_; ++head) {
      if (group >> head & 1U) found.push_back(head);
    }
    return found;
  }

  int64_t n_;
  int64_t m_;
  const GroupCost& cost_;
  std::vector<double> best_;
  std::vector<uint32_t> group_;  // the last group of the best partition of a set
  std::unordered_map<uint32_t, double> costs_;
};

/// Random exchanges of two heads, kept when they help; started from the contiguous groups and from
/// random ones.
class SwapSearch {
 public:
  SwapSearch(int64_t n_heads, int64_t group_size, const GroupCost& cost, uint64_t seed)
      : n_(n_heads), m_(group_size), cost_(cost), random_(seed, "grouping") {}

  std::vector<int64_t> run() {
    std::vector<int64_t> order(static_cast<size_t>(n_));
    std::iota(order.begin(), order.end(), int64_t{0});
    std::vector<Group> best;
    double best_total = std::numeric_limits<double>::infinity();
    for (int restart = 0; restart < kRestarts; ++restart) {
      std::vector<Group> groups = cut(order);
      const double total = improve(groups);
      if (total < best_total - 1e-12) {
        best_total = total;
        best = groups;
      }
      for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[pick(i)]);
    }
    return canonical(std::move(best));
  }

 private:
  static constexpr int kRestarts = 20;
  static constexpr int kSwaps = 3000;

  std::vector<Group> cut(const std::vector<int64_t>& order) const {
    std::vector<Group> groups;
    for (int64_t first = 0; first < n_; first += m_) {
      groups.emplace_back(order.begin() + first, order.begin() + first + m_);
    }
    return groups;
  }

  double improve(std::vector<Group>& groups) {
    std::vector<double> costs;
    for (const Group& group : groups) costs.push_back(cost_of(group));
    for (int swap = 0; swap < kSwaps && groups.size() > 1; ++swap) {
      const size_t a = pick(groups.size());
      const size_t b = (a + 1 + pick(groups.size() - 1)) % groups.size();
      Group first = groups[a];
      Group second = groups[b];
      std::swap(first[pick(first.size())], second[pick(second.size())]);
      const double with_first = cost_of(first);
      const double with_second = cost_of(second);
      if (with_first + with_second >= costs[a] + costs[b] - 1e-12) continue;
      groups[a] = first;
      groups[b] = second;
      costs[a] = with_first;
      costs[b] = with_second;
    }
    return std::accumulate(costs.begin(), costs.end(), 0.0);
  }

  double cost_of(Group group) {
    std::sort(group.begin(), group.end());
    const auto it = costs_.find(group);
    if (it != costs_.end()) return it->second;
    const double value = cost_(group);
    costs_.emplace(std::move(group), value);
    return value;
  }

  size_t pick(size_t count) {
    return std::min(count - 1, static_cast<size_t>(random_.next() * static_cast<double>(count)));
  }

  int64_t n_;
  int64_t m_;
  const GroupCost& cost_;
  UniformStream random_;
  std::map<Group, double> costs_;
};

}  // namespace

std::vector<int64_t> best_grouping(int64_t n_heads, int64_t group_size, const GroupCost& cost,
                                   uint64_t seed) {
  if (n_heads <= kMaxExactHeads) return ExactSearch(n_heads, group_size, cost).run();
  return SwapSearch(n_heads, group_size, cost, seed).run();
}

GroupCost pair_cost(const at::Tensor& similarity) {
  const auto n = similarity.size(0);
  const at::Tensor dense = similarity.to(at::kDouble).contiguous();
  std::vector<double> values(dense.data_ptr<double>(), dense.data_ptr<double>() + n * n);
  return [values = std::move(values), n](const std::vector<int64_t>& members) {
    double sum = 0;
    for (size_t i = 0; i < members.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        sum += values[static_cast<size_t>(members[i] * n + members[j])];
      }
    }
    return -sum;
  };
}

}  // namespace regroup
