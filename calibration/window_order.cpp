#include "window_order.h"

#include <algorithm>
#include <numeric>

namespace regroup {

WindowOrder::WindowOrder(int64_t windows, uint64_t seed, const std::string& name)
    : order_(static_cast<size_t>(windows)), random_(seed, name), next_(order_.size()) {
  std::iota(order_.begin(), order_.end(), int64_t{0});
}

std::vector<int64_t> WindowOrder::take(int64_t count) {
  std::vector<int64_t> windows;
  while (static_cast<int64_t>(windows.size()) < std::min<int64_t>(count, order_.size())) {
    if (next_ == order_.size()) shuffle();
    windows.push_back(order_[next_++]);
  }
  return windows;
}

void WindowOrder::shuffle() {
  for (size_t i = order_.size(); i > 1; --i) {
    std::swap(order_[i - 1], order_[random_.next_bits() % i]);
  }
  next_ = 0;
}

}  // namespace regroup
