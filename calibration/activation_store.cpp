#include "activation_store.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>

#include <span>

namespace regroup {
namespace {

std::span<std::byte> bytes_of(const at::Tensor& tensor) {
  return {static_cast<std::byte*>(tensor.data_ptr()), tensor.nbytes()};
}

}  // namespace

ActivationStore::ActivationStore(int64_t windows, int64_t seq, int64_t hidden,
                                 const std::string& scratch)
    : windows_(windows), seq_(seq), hidden_(hidden) {
  if (scratch.empty()) {
    memory_ = at::empty({windows, seq, hidden}, at::kFloat);
  } else {
    file_.emplace(scratch, windows * seq * hidden * 4);
  }
}

at::Tensor ActivationStore::read(int64_t first, int64_t count) const {
  if (!file_) return memory_.narrow(0, first, count).clone();
  const at::Tensor out = at::empty({count, seq_, hidden_}, at::kFloat);
  file_->read(first * seq_ * hidden_ * 4, bytes_of(out));
  return out;
}

at::Tensor ActivationStore::gather(const std::vector<int64_t>& windows) const {
  if (!file_) return memory_.index_select(0, at::tensor(windows, at::kLong));
  const at::Tensor out =
      at::empty({static_cast<int64_t>(windows.size()), seq_, hidden_}, at::kFloat);
  for (size_t i = 0; i < windows.size(); ++i) {
    out[static_cast<int64_t>(i)].copy_(read(windows[i], 1)[0]);
  }
  return out;
}

void ActivationStore::write(int64_t first, const at::Tensor& values) {
  if (!file_) {
    memory_.narrow(0, first, values.size(0)).copy_(values);
    return;
  }
  file_->write(first * seq_ * hidden_ * 4, bytes_of(values.to(at::kCPU, at::kFloat).contiguous()));
}

}  // namespace regroup
