#include "regroup/model/transfer.h"

#include <ATen/ops/stack.h>

namespace regroup {

at::Tensor to_device(const at::Tensor& host, at::Device device) {
  if (host.device() == device || device.is_cpu() || device.is_meta()) return host.to(device);
  return host.pin_memory().to(device, /*non_blocking=*/true);
}

std::vector<double> read_scalars(const std::vector<at::Tensor>& scalars) {
  std::vector<at::Tensor> wide;
  for (const at::Tensor& scalar : scalars) wide.push_back(scalar.detach().to(at::kDouble));
  const at::Tensor host = at::stack(wide).to(at::kCPU);
  const double* values = host.data_ptr<double>();
  return {values, values + scalars.size()};
}

}  // namespace regroup
