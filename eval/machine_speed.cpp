#include "regroup/eval/machine_speed.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <chrono>
#include <functional>

#include "regroup/model/ops.h"

namespace regroup {
namespace {

constexpr int kTries = 8;

/// Seconds of the fastest of several tries; the first, which touches new memory, does not count.
double best_seconds(at::Device device, const std::function<void()>& work) {
  double best = 0;
  for (int i = 0; i <= kTries; ++i) {
    wait_for(device);
    const auto start = std::chrono::steady_clock::now();
    work();
    wait_for(device);
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    if (i == 1 || (i > 1 && passed.count() < best)) best = passed.count();
  }
  return best;
}

}  // namespace

void wait_for(at::Device device) {
  if (!device.is_cuda()) return;
  c10::impl::VirtualGuardImpl(device.type()).synchronizeDevice(device.index());
}

MachineSpeed measure_machine(at::Device device, at::ScalarType dtype) {
  const c10::InferenceMode no_gradients;
  // Far more than any cache holds, and enough that starting threads takes no part of the time.
  const int64_t bytes = device.is_cpu() ? int64_t{256} << 20 : int64_t{1} << 30;
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(device);
  const at::Tensor from = at::zeros({bytes / 4}, floats);
  const at::Tensor to = at::empty({bytes / 4}, floats);
  const int64_t n = device.is_cpu() ? 1536 : 8192;
  const at::Tensor x = at::randn({n, n}, floats).to(dtype);
  const at::Tensor weight = at::randn({n, n}, floats).to(dtype);
  const auto wide = static_cast<double>(bytes);
  const auto side = static_cast<double>(n);
  return {
      .copy_bytes_per_s = 2 * wide / best_seconds(device, [&] { to.copy_(from); }),
      .read_bytes_per_s = wide / best_seconds(device, [&] { at::sum(from); }),
      .flops_per_s = 2 * side * side * side / best_seconds(device, [&] { project(x, weight); })};
}

}  // namespace regroup
