#include "activation_store.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <span>

#include "regroup/model/tensor_bytes.h"
#include "regroup/model/transfer.h"

namespace regroup {
ActivationStore::ActivationStore(int64_t windows, int64_t seq, int64_t hidden,
                                 const std::string& scratch, at::Device device)
    : windows_(windows), seq_(seq), hidden_(hidden), device_(device) {
  if (scratch.empty()) {
    memory_ =
        at::empty({windows, seq, hidden}, at::TensorOptions().dtype(at::kFloat).device(device));
  } else {
    file_.emplace(scratch, windows * seq * hidden * 4);
  }
}

at::Tensor ActivationStore::read(int64_t first, int64_t count) const {
  if (!file_) return memory_.narrow(0, first, count).clone();
  const at::Tensor out = at::empty({count, seq_, hidden_}, at::kFloat);
  file_->read(first * seq_ * hidden_ * 4, bytes_of(out));
  return to_device(out, device_);
}

at::Tensor ActivationStore::gather(const std::vector<int64_t>& windows) const {
  if (!file_) {
    return memory_.index_select(0, to_device(at::tensor(windows, at::kLong), device_));
  }
  std::vector<at::Tensor> found;
  for (const int64_t window : windows) found.push_back(read(window, 1));
  return at::cat(found);
}

void ActivationStore::write(int64_t first, const at::Tensor& values) {
  if (!file_) {
    memory_.narrow(0, first, values.size(0)).copy_(to_device(values, device_));
    return;
  }
  file_->write(first * seq_ * hidden_ * 4, bytes_of(values.to(at::kCPU, at::kFloat).contiguous()));
}

}  // namespace regroup
