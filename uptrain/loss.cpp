#include "regroup/uptrain/loss.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "regroup/model/ops.h"

namespace regroup {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kLogitBytes = 8 << 20;  // of one chunk of logits

int64_t chunk_tokens(int64_t vocab) {
  return std::clamp<int64_t>(kLogitBytes / 4 / vocab, 16, 4096);
}

struct FusedCrossEntropy : torch::autograd::Function<FusedCrossEntropy> {
  static Tensor forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& lm_head,
                        const Tensor& targets, double scale) {
    const bool needs_head = lm_head.requires_grad();
    const bool narrow = hidden.scalar_type() != at::kFloat;
    Tensor dhidden = at::empty_like(hidden);  // [tokens, hidden]
    Tensor dhead;                             // [vocab, hidden] float32
    if (needs_head) dhead = at::zeros(lm_head.sizes(), lm_head.options().dtype(at::kFloat));
    const int64_t chunk = chunk_tokens(lm_head.size(0));
    double loss = 0;
    for (int64_t first = 0; first < hidden.size(0); first += chunk) {
      const int64_t n = std::min(chunk, hidden.size(0) - first);
      const Tensor h = hidden.narrow(0, first, n);
      Tensor logits = project(h, lm_head).to(at::kFloat);  // the only [chunk, vocab]
      loss += cross_entropy_gradient_(logits, targets.narrow(0, first, n), scale);
      const Tensor g = narrow ? logits.to(hidden.scalar_type()) : logits;
      dhidden.narrow(0, first, n).copy_(project(g, lm_head.t()));
      if (!needs_head) continue;
      if (narrow) {
        dhead.add_(at::matmul(g.t(), h));
      } else {
        dhead.addmm_(g.t(), h);
      }
    }
    ctx->save_for_backward({dhidden, needs_head ? dhead.to(lm_head.scalar_type()) : Tensor()});
    return at::scalar_tensor(loss * scale, hidden.options().dtype(at::kFloat));
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    // The trainer calls backward on the loss itself, whose gradient is exactly 1.
    const double upstream = grads[0].item<double>();
    const auto times = [&](const Tensor& t) {
      return !t.defined() || upstream == 1.0 ? t : t.mul(upstream);
    };
    return {times(saved[0]), times(saved[1]), {}, {}};
  }
};

}  // namespace

Tensor fused_cross_entropy(const Tensor& hidden, const Tensor& lm_head, const Tensor& targets,
                           double scale) {
  return FusedCrossEntropy::apply(hidden.contiguous(), lm_head, targets.contiguous(), scale);
}

}  // namespace regroup
