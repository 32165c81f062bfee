#pragma once

#include <cstdint>
#include <string_view>

#include "regroup/base/split_mix.h"

namespace regroup {

/// Uniform numbers that depend on (seed, name) alone: the standard library's distributions differ
/// between implementations, and results must not.
class UniformStream {
 public:
  UniformStream(uint64_t seed, std::string_view name) : state_(seed) {
    for (const char c : name) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }

  uint64_t next_bits() {
    const uint64_t bits = split_mix(state_);
    state_ += kSplitMixStep;
    return bits;
  }

  /// In (0, 1].
  double next() { return (static_cast<double>(next_bits() >> 11) + 1.0) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace regroup
