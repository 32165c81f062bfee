#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <span>

namespace regroup {

/// The bytes of a contiguous tensor in host memory, which must outlive them.
inline std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace regroup
