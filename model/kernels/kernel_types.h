#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup::kernels {

/// Tensors that the row kernels take: float32 and bfloat16 (as uint16) on a CPU.
inline bool has_kernel(const at::Tensor& x) {
  return x.is_cpu() && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kBFloat16);
}

/// Calls `body` with a null pointer of the element type the kernels use for `x`.
template <typename Body>
void with_type(const at::Tensor& x, const Body& body) {
  if (x.scalar_type() == at::kFloat) {
    body(static_cast<float*>(nullptr));
  } else {
    body(static_cast<uint16_t*>(nullptr));
  }
}

template <typename T>
T* data(const at::Tensor& x) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) : nullptr;
}

}  // namespace regroup::kernels
