#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/base/uniform_stream.h"

namespace regroup {

/// Epochs of windows, each in an order that follows from the seed and a name.
class WindowOrder {
 public:
  WindowOrder(int64_t windows, uint64_t seed, const std::string& name);
  /// The next ones, at most as many as there are.
  std::vector<int64_t> take(int64_t count);

 private:
  void shuffle();
  std::vector<int64_t> order_;
  UniformStream random_;
  size_t next_ = 0;
};

}  // namespace regroup
