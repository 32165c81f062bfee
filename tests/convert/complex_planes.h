#pragma once

#include <ATen/ops/complex.h>
#include <ATen/ops/zeros.h>

#include "group_merge.h"
#include "key_matrix.h"

namespace regroup::testing {

/// The rows of [heads, head_dim, columns] as complex planes, [heads, head_dim / 2, columns].
inline at::Tensor complex_planes(const at::Tensor& rows) {
  const auto halves = rows.chunk(2, 1);
  return at::complex(halves[0].contiguous(), halves[1].contiguous());
}

/// Complex numbers, one a plane, as the real matrix of a head that is turned whole.
/// @param factors  [planes] complex
inline at::Tensor plane_matrix(const at::Tensor& factors) {
  ModelConfig config;
  config.head_dim = config.rotary_dim = 2 * factors.size(0);
  return key_matrix(head_channels(config), factors, at::zeros({0, 0}, at::kDouble));
}

/// Outside of planes these heads have nothing.
inline void without_rest(HeadMoments& moments) {
  const int64_t kv = moments.key.size(1);
  moments.key_rest = {at::zeros({kv, kv, 0, 0}, at::kDouble), at::zeros({kv, 0, 0}, at::kDouble)};
  moments.query_rest = at::zeros({moments.query_energy.size(0), 0, 0}, at::kDouble);
}

inline VectorMerge empty_merge(int64_t members) {
  const at::Tensor none = at::zeros({members, 0, 0}, at::kDouble);
  return {none, none};
}

}  // namespace regroup::testing
