#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <string_view>

#include "regroup/base/uniform_stream.h"

namespace regroup {

/// Standard normal numbers that depend on (seed, name) alone.
class NormalStream {
 public:
  NormalStream(uint64_t seed, std::string_view name) : uniform_(seed, name) {}

  double next() {
    if (has_spare_) {
      has_spare_ = false;
      return spare_;
    }
    // Box and Muller 1958: two uniform numbers give two normal ones.
    const double radius = std::sqrt(-2.0 * std::log(uniform_.next()));
    const double angle = 2 * std::numbers::pi * uniform_.next();
    spare_ = radius * std::sin(angle);
    has_spare_ = true;
    return radius * std::cos(angle);
  }

 private:
  UniformStream uniform_;
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace regroup
