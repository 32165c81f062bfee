#include "regroup/model/fused_loss.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <functional>
#include <optional>

#include "cross_entropy.h"
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

/// Turns the logits of tokens [first, first + n), float32 [n, vocab], into scale times the gradient of
/// the chunk's loss; returns that loss, not scaled: a float64 scalar.
using ChunkLoss = std::function<Tensor(const Tensor& logits, int64_t first, int64_t n)>;

/// Which gradients somebody can ask for. Found before apply(): a Function's forward always runs without them.
struct Wanted {
  Wanted(const Tensor& hidden, const LmHead& lm_head)
      : by_hidden(is_wanted(hidden)),
        by_head(is_wanted(lm_head.weight)),
        by_bias(is_wanted(lm_head.bias)) {}
  static bool is_wanted(const Tensor& t) {
    return c10::GradMode::is_enabled() && t.defined() && t.requires_grad();
  }
  bool any() const { return by_hidden || by_head || by_bias; }

  bool by_hidden;
  bool by_head;
  bool by_bias;
};

/// scale * loss, the gradients that are wanted taken in the forward pass.
struct FusedHead : torch::autograd::Function<FusedHead> {
  static Tensor forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& weight,
                        const std::optional<Tensor>& bias, double cap, const ChunkLoss& chunk_loss,
                        double scale, Wanted wanted) {
    const LmHead head(weight, bias.value_or(Tensor()), cap);
    const bool narrow = hidden.scalar_type() != at::kFloat;
    const bool in_float = !narrow || (hidden.is_cpu() && multiplied_in_float(hidden.scalar_type()));
    Tensor dhidden;  // [tokens, hidden]
    Tensor dhead;    // [vocab, hidden] float32
    Tensor dbias;    // [vocab] float32
    if (wanted.by_hidden) dhidden = at::empty_like(hidden);
    if (wanted.by_head) dhead = at::zeros(weight.sizes(), weight.options().dtype(at::kFloat));
    if (wanted.by_bias) dbias = at::zeros(head.bias.sizes(), head.bias.options().dtype(at::kFloat));
    const int64_t chunk = chunk_tokens(head.vocab_size());
    Tensor loss = at::zeros({}, hidden.options().dtype(at::kDouble));
    for (int64_t first = 0; first < hidden.size(0); first += chunk) {
      const int64_t n = std::min(chunk, hidden.size(0) - first);
      const Tensor h = hidden.narrow(0, first, n);
      Tensor logits = head.wide_logits(h);  // the student's only [chunk, vocab]
      const Tensor capped = head.cap > 0 && wanted.any() ? logits.clone() : Tensor();
      loss.add_(chunk_loss(logits, first, n));
      if (!wanted.any()) continue;
      head.back_through_cap_(logits, capped);
      if (wanted.by_bias) dbias.add_(logits.sum(0));
      const Tensor g = narrow ? logits.to(hidden.scalar_type()) : logits;
      if (wanted.by_hidden) dhidden.narrow(0, first, n).copy_(project(g, weight.t()));
      if (!wanted.by_head) continue;
      if (in_float) {
        dhead.addmm_(logits.t(), h.to(at::kFloat));
      } else {
        dhead.add_(at::matmul(g.t(), h));
      }
    }
    ctx->save_for_backward({dhidden, wanted.by_head ? dhead.to(weight.scalar_type()) : Tensor(),
                            wanted.by_bias ? dbias.to(head.bias.scalar_type()) : Tensor()});
    return loss.mul(scale).to(at::kFloat);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    // The trainer calls backward on the loss itself, whose gradient is exactly 1. To look is free on a
    // CPU; elsewhere it would wait for the device.
    const Tensor& upstream = grads[0];
    const bool is_root = upstream.is_cpu() && upstream.item<double>() == 1.0;
    const auto times = [&](const Tensor& t) {
      return !t.defined() || is_root ? t : t.mul(upstream);
    };
    return {times(saved[0]), times(saved[1]), times(saved[2]), {}, {}, {}, {}};
  }
};

/// scale * loss of `head` on hidden [tokens, hidden].
Tensor fused_loss(const Tensor& hidden, const LmHead& head, const ChunkLoss& loss, double scale) {
  const auto bias = head.bias.defined() ? std::optional(head.bias) : std::nullopt;
  return FusedHead::apply(hidden.contiguous(), head.weight, bias, head.cap, loss, scale,
                          Wanted(hidden, head));
}

/// The teacher's side of one chunk. float32 [n, vocab], or its likeliest ids.
DistillationSums against_teacher(const Tensor& logits, const TeacherSignal& teacher, int64_t first,
                                 int64_t n, const Tensor& targets, double scale,
                                 const DistillationMix& mix) {
  const Tensor t = targets.narrow(0, first, n);
  if (!teacher.hidden.defined()) {
    const TopKLogProbs part = {teacher.top_k.ids.narrow(0, first, n),
                               teacher.top_k.log_probs.narrow(0, first, n),
                               teacher.top_k.log_tail.narrow(0, first, n)};
    return distillation_gradient_(logits, part, t, scale, mix);
  }
  const Tensor theirs = teacher.lm_head.wide_logits(teacher.hidden.narrow(0, first, n));
  return distillation_gradient_(logits, theirs, t, scale, mix);
}

}  // namespace

Tensor fused_cross_entropy(const Tensor& hidden, const LmHead& lm_head, const Tensor& targets,
                           double scale) {
  const Tensor t = targets.contiguous();
  const ChunkLoss loss = [&](const Tensor& logits, int64_t first, int64_t n) {
    return cross_entropy_(logits, t.narrow(0, first, n), scale);
  };
  return fused_loss(hidden, lm_head, loss, scale);
}

DistillationLoss fused_distillation(const Tensor& hidden, const LmHead& lm_head,
                                    const Tensor& targets, double scale,
                                    const TeacherSignal& teacher, const DistillationMix& mix) {
  const Tensor t = targets.contiguous();
  DistillationLoss result;
  result.ce = at::zeros({}, hidden.options().dtype(at::kDouble).requires_grad(false));
  result.kl = at::zeros_like(result.ce);
  const ChunkLoss loss = [&](const Tensor& logits, int64_t first, int64_t n) {
    const DistillationSums sums = against_teacher(logits, teacher, first, n, t, scale, mix);
    result.ce.add_(sums.ce, scale);
    result.kl.add_(sums.kl, scale);
    return sums.ce.mul(1 - mix.kl_weight)
        .add(sums.kl, mix.kl_weight * mix.temperature * mix.temperature);
  };
  result.loss = fused_loss(hidden, lm_head, loss, scale);
  return result;
}

}  // namespace regroup
