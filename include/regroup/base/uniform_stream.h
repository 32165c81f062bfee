#pragma once

#include <cstdint>
#include <string_view>

namespace regroup {

/// Uniform numbers that depend on (seed, name) alone: the standard library's distributions differ
/// between implementations, and results must not. SplitMix64 (Steele, Lea and Flood 2014).
class UniformStream {
 public:
  UniformStream(uint64_t seed, std::string_view name) : state_(seed) {
    for (const char c : name) state_ = (state_ ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  }

  uint64_t next_bits() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }

  /// In (0, 1].
  double next() { return (static_cast<double>(next_bits() >> 11) + 1.0) * 0x1p-53; }

 private:
  uint64_t state_;
};

}  // namespace regroup
