// Logits with a bias and a bound, and the loss fused with them, against autograd in float64.
#include "regroup/model/lm_head.h"

#include <ATen/ops/log_softmax.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/tanh.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "regroup/model/fused_loss.h"

namespace regroup::testing {
namespace {

using at::Tensor;

constexpr double kScale = 0.1;

struct Problem {
  Tensor hidden, weight, bias, targets;
  double cap;
};

Problem problem(double cap, bool with_bias) {
  const Tensor targets = random_ids(1, 19, 37, 4).flatten();
  targets[3] = -1;  // not counted
  return {random_tensor({19, 8}, 1), random_tensor({37, 8}, 2),
          with_bias ? random_tensor({37}, 3) : Tensor(), targets, cap};
}

/// The definition: scale times the sum of -log softmax(cap tanh((h W^T + b) / cap))[target].
Tensor defined_loss(const Tensor& hidden, const Tensor& weight, const Tensor& bias,
                    const Problem& p) {
  Tensor z = at::matmul(hidden, weight.t());
  if (bias.defined()) z = z.add(bias);
  if (p.cap > 0) z = z.div(p.cap).tanh().mul(p.cap);
  const Tensor nll =
      at::log_softmax(z, 1).gather(1, p.targets.clamp_min(0).unsqueeze(1)).squeeze(1).neg();
  return nll.mul(p.targets.ge(0).to(nll.scalar_type())).sum().mul(kScale);
}

TEST(LmHead, LossAndGradientsFollowTheDefinition) {
  for (const double cap : {0.0, 1.5}) {
    for (const bool with_bias : {false, true}) {
      SCOPED_TRACE(fmt::format("cap {}, bias {}", cap, with_bias));
      const Problem p = problem(cap, with_bias);
      const auto leaf = [](const Tensor& t, at::ScalarType dtype) {
        return t.defined() ? t.to(dtype).detach().clone().set_requires_grad(true) : Tensor();
      };
      const Tensor h = leaf(p.hidden, at::kFloat);
      const LmHead head(leaf(p.weight, at::kFloat), leaf(p.bias, at::kFloat), cap);
      const Tensor loss = fused_cross_entropy(h, head, p.targets, kScale);
      loss.backward();
      const Tensor wide_h = leaf(p.hidden, at::kDouble);
      const Tensor wide_w = leaf(p.weight, at::kDouble);
      const Tensor wide_b = leaf(p.bias, at::kDouble);
      const Tensor wanted = defined_loss(wide_h, wide_w, wide_b, p);
      wanted.backward();
      EXPECT_NEAR(loss.item<double>(), wanted.item<double>(), 1e-5);
      EXPECT_LE(relative_error(h.grad(), wide_h.grad()), 1e-5);
      EXPECT_LE(relative_error(head.weight.grad(), wide_w.grad()), 1e-5);
      if (!with_bias) continue;
      EXPECT_LE(relative_error(head.bias.grad(), wide_b.grad()), 1e-5);
    }
  }
}

// With the whole weight on the divergence, the parent's own logits have none, and the gradient is zero.
TEST(LmHead, ATeacherWithTheSameHeadLeavesNothingToLearn) {
  const Problem p = problem(1.5, true);
  const Tensor h = p.hidden.clone().set_requires_grad(true);
  const LmHead head(p.weight, p.bias, p.cap);
  const DistillationLoss loss =
      fused_distillation(h, head, p.targets, kScale, {p.hidden, head, {}}, {.kl_weight = 1.0});
  loss.loss.backward();
  EXPECT_EQ(loss.kl.item<double>(), 0);
  EXPECT_EQ(h.grad().abs().max().item<double>(), 0);
}

TEST(LmHead, BoundsLogits) {
  const Problem p = problem(1.5, true);
  const Tensor logits = LmHead(p.weight, p.bias, 1.5).logits(p.hidden.mul(100));
  EXPECT_LE(logits.abs().max().item<double>(), 1.5);
  const Tensor free = LmHead(p.weight, p.bias).logits(p.hidden);
  EXPECT_LE(
      relative_error(LmHead(p.weight, p.bias, 1.5).logits(p.hidden), free.div(1.5).tanh().mul(1.5)),
      1e-6);
}

}  // namespace
}  // namespace regroup::testing
