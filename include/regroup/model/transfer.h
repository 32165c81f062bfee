#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace regroup {

/// What crosses between host and device. A copy out, or one in from memory that is not pinned, waits until
/// the device has done all that was asked of it before (docs/devices.md).

/// A host tensor on `device`, without a wait; itself where that is the CPU.
at::Tensor to_device(const at::Tensor& host, at::Device device);

/// Scalars of one device as numbers: one wait for all of them.
std::vector<double> read_scalars(const std::vector<at::Tensor>& scalars);

}  // namespace regroup
