#pragma once

#include <cstdint>
#include <iterator>
#include <random>
#include <utility>
#include <vector>

namespace regroup::demo {

/// Seeded choices that come out the same everywhere: std::mt19937_64 is fixed by the standard, the
/// distributions of <random> are not, so numbers are mapped here.
class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  /// A number from 0 to n - 1. The bias of the remainder is below n / 2^64.
  size_t below(size_t n) { return static_cast<size_t>(engine_() % n); }

  /// A number from `low` to `high`, both included.
  size_t between(size_t low, size_t high) { return low + below(high - low + 1); }

  template <class List>
  const auto& pick(const List& list) {
    return list[below(std::size(list))];
  }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

  /// `count` different items of `list`.
  template <class List>
  auto sample(const List& list, size_t count) {
    std::vector items(std::begin(list), std::end(list));
    shuffle(items);
    items.resize(count);
    return items;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace regroup::demo
