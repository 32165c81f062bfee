#pragma once

#include <ATen/ops/complex.h>

namespace regroup::testing {

/// The rows of [heads, head_dim, columns] as complex planes, [heads, head_dim / 2, columns].
inline at::Tensor complex_planes(const at::Tensor& rows) {
  const auto halves = rows.chunk(2, 1);
  return at::complex(halves[0].contiguous(), halves[1].contiguous());
}

}  // namespace regroup::testing
