#pragma once

#include <bit>
#include <cstdint>

// One body, several instruction sets. always_inline bodies take on the target of the clone that
// inlines them.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define REGROUP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define REGROUP_CLONES
#endif
#define REGROUP_INLINE inline __attribute__((always_inline))

namespace regroup::kernels {

constexpr int64_t kLanes =
    16;  // partial sums of a reduction: fixed, so that bits do not depend on the ISA

REGROUP_INLINE float load(const float* p) { return *p; }
REGROUP_INLINE float load(const uint16_t* p) {
  return std::bit_cast<float>(static_cast<uint32_t>(*p) << 16);
}
REGROUP_INLINE void store(float* p, float x) { *p = x; }
REGROUP_INLINE void store(uint16_t* p, float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
  *p = static_cast<uint16_t>(x != x ? 0x7FC0u : rounded);
}

/// e^x to about one unit in the last place of a float (Cephes' expf polynomial), without branches.
REGROUP_INLINE float exp_fast(float x) {
  const float clamped = x < -87.3f ? -87.3f : (x > 88.3f ? 88.3f : x);
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;  // rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const auto exponent = static_cast<int32_t>(n) + 127;
  return p * std::bit_cast<float>(exponent << 23);
}

REGROUP_INLINE float sum_lanes(const float* lanes) {
  float total = 0;
  for (int64_t i = 0; i < kLanes; ++i) total += lanes[i];
  return total;
}

}  // namespace regroup::kernels
