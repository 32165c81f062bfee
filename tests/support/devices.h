#pragma once

#include <c10/core/Device.h>

#include <vector>

#include "regroup/base/error.h"
#include "regroup/model/runtime.h"
#include "support/strict_device.h"

namespace regroup::testing {

/// Tiny tensors gain nothing from threads, and on a busy machine threads that wait for each other take
/// twenty times as long.
inline const bool kOneThread = (set_threads(1), true);

/// A GPU where there is one, else the strict device. One of the two a process: LibTorch knows one kind of
/// accelerator.
/// From the start: autograd counts the devices when it first runs.
inline const at::Device kOtherDevice = [] {
  try {
    return open_device("cuda");
  } catch (const ConfigError&) {
    return strict_device();
  }
}();
inline at::Device other_device() { return kOtherDevice; }

/// Of gradients through a product that sums over a large vocabulary: MKL, which the strict device computes with,
/// adds term by term (model/blocks/projection.cpp).
inline double long_sum_tolerance(at::Device device, double usual) {
  return device.is_privateuseone() ? 3e-4 : usual;
}

/// What every test that computes runs on: the CPU and a device that is none.
inline std::vector<at::Device> devices() { return {at::kCPU, other_device()}; }

}  // namespace regroup::testing
