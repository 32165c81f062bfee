#pragma once

#include <cstdint>

namespace regroup {

/// What SplitMix64 adds to its state at each step.
inline constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15u;

/// The number that SplitMix64 gives in state `state`, after its step: neighbouring states get unrelated numbers.
/// Source: Steele, Lea and Flood 2014.
inline uint64_t split_mix(uint64_t state) {
  uint64_t z = state + kSplitMixStep;
  z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
  z = (z ^ z >> 27) * 0x94D049BB133111EBu;
  return z ^ z >> 31;
}

}  // namespace regroup
