#include "regroup/model/lm_head.h"

#include <ATen/ops/tanh.h>

#include "regroup/model/ops.h"

namespace regroup {
namespace {

at::Tensor capped(const at::Tensor& logits, double cap) {
  return cap > 0 ? logits.div(cap).tanh().mul(cap) : logits;
}

}  // namespace

at::Tensor LmHead::logits(const at::Tensor& hidden) const {
  return capped(project(hidden, weight, bias), cap);
}

at::Tensor LmHead::wide_logits(const at::Tensor& hidden) const {
  const at::Tensor out = project(hidden, weight, bias);
  return capped(out.to(at::kFloat), cap);
}

void LmHead::back_through_cap_(const at::Tensor& gradient, const at::Tensor& wide) const {
  // d cap tanh(x / cap) = 1 - tanh^2
  if (cap > 0) gradient.mul_(wide.div(cap).square().neg().add(1));
}

}  // namespace regroup
