// The loss against a teacher: values and gradients against float64 autograd, the exact zero, buckets.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/decoder_tools.h"
#include "regroup/model/fused_loss.h"

namespace regroup::testing {
namespace {

/// A student, a teacher of another width, and targets of which two do not count.
struct Problem {
  Problem(int64_t tokens, int64_t vocab, at::Device device = at::kCPU)
      : hidden(random_tensor({tokens, 7}, 1, at::kFloat, device).set_requires_grad(true)),
        head(random_tensor({vocab, 7}, 2, at::kFloat, device).set_requires_grad(true)),
        teacher{random_tensor({tokens, 5}, 3, at::kFloat, device),
                random_tensor({vocab, 5}, 4, at::kFloat, device),
                {}},
        targets(random_ids(1, tokens, vocab, 5).view({-1}).to(device)) {
    targets[0].fill_(-1);
    targets[tokens - 1].fill_(-100);
  }
  at::Tensor hidden, head;
  TeacherSignal teacher;
  at::Tensor targets;
  double scale = 1.0 / 41;
};

struct Reference {
  double loss, ce, kl;
  at::Tensor dhidden, dhead;
};

/// The definition, by autograd in float64, with whole [tokens, vocab] tensors.
/// @param k  0: the full KL; else KL over the teacher's k likeliest ids and the rest
Reference reference(const Problem& p, const DistillationMix& mix, int64_t k = 0) {
  const auto wide = [](const at::Tensor& t) { return t.detach().to(at::kCPU, at::kDouble); };
  const at::Tensor h = wide(p.hidden).clone().set_requires_grad(true);
  const at::Tensor w = wide(p.head).clone().set_requires_grad(true);
  const at::Tensor z = at::matmul(h, w.t());
  const at::Tensor t = at::matmul(wide(p.teacher.hidden), wide(p.teacher.lm_head.weight).t());
  const at::Tensor targets = p.targets.cpu();
  const at::Tensor counted = targets.ge(0).to(at::kDouble);
  const at::Tensor nll =
      -at::log_softmax(z, 1).gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  at::Tensor log_s = at::log_softmax(z / mix.temperature, 1);
  at::Tensor log_t = at::log_softmax(t / mix.temperature, 1);
  if (k > 0) {
    const auto [top, ids] = log_t.topk(k, 1);
    const at::Tensor out = at::zeros_like(log_t).scatter(1, ids, 1).to(at::kBool);
    const auto bucketed = [&](const at::Tensor& log_p) {
      const at::Tensor rest = at::logsumexp(log_p.masked_fill(out, -INFINITY), 1, true);
      return k == log_p.size(1) ? log_p.gather(1, ids) : at::cat({log_p.gather(1, ids), rest}, 1);
    };
    log_s = bucketed(log_s);
    log_t = bucketed(log_t);
  }
  const at::Tensor divergence = (log_t.exp() * (log_t - log_s)).sum(1);
  const at::Tensor ce = (nll * counted).sum() * p.scale;
  const at::Tensor kl = (divergence * counted).sum() * p.scale;
  const at::Tensor loss =
      ce * (1 - mix.kl_weight) + kl * (mix.kl_weight * mix.temperature * mix.temperature);
  loss.backward();
  return {loss.item<double>(), ce.item<double>(), kl.item<double>(), h.grad(), w.grad()};
}

/// What a cache would keep, without its rounding.
TopKLogProbs likeliest(const Problem& p, int64_t k, double temperature) {
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
  const at::Tensor t = at::matmul(wide(p.teacher.hidden), wide(p.teacher.lm_head.weight).t());
  const at::Tensor log_t = at::log_softmax(t / temperature, 1);
  const auto [top, ids] = log_t.topk(k, 1);
  const at::Tensor rest = at::logsumexp(log_t.scatter(1, ids, -INFINITY), 1);
  return {ids.to(at::kInt), top.to(at::kFloat), rest.to(at::kFloat)};
}

void expect_equal(const DistillationLoss& got, const Problem& p, const Reference& want,
                  double head_tolerance) {
  const double size = std::abs(want.loss) + std::abs(want.kl) + std::abs(want.ce);
  EXPECT_NEAR(got.loss.item<double>(), want.loss, 3e-6 * size);
  EXPECT_NEAR(got.ce.item<double>(), want.ce, 3e-6 * size);
  EXPECT_NEAR(got.kl.item<double>(), want.kl, 3e-6 * size);
  p.hidden.mutable_grad() = at::Tensor();
  p.head.mutable_grad() = at::Tensor();
  got.loss.backward();
  const double tolerance = long_sum_tolerance(p.hidden.device(), 2e-5);
  EXPECT_LT(relative_error(p.hidden.grad(), want.dhidden), tolerance);
  EXPECT_LT(relative_error(p.head.grad(), want.dhead), head_tolerance);
  EXPECT_EQ(p.hidden.grad()[0].abs().max().item<double>(), 0);  // a target that does not count
}

// 101 ids: no multiple of any vector width. 70,001: chunks of 29 tokens, the last one short.
TEST(Distillation, EqualsAutogradInFloat64) {
  for (const at::Device device : devices()) {
    for (const auto& [tokens, vocab] : {std::pair{37, 101}, std::pair{61, 70001}}) {
      for (const double weight : {0.0, 0.3, 1.0}) {
        for (const double temperature : {1.0, 2.0}) {
          SCOPED_TRACE(::testing::Message() << device.str() << " vocab " << vocab << ", A "
                                            << weight << ", T " << temperature);
          const Problem p(tokens, vocab, device);
          const DistillationMix mix = {weight, temperature};
          const DistillationLoss got =
              fused_distillation(p.hidden, p.head, p.targets, p.scale, p.teacher, mix);
          EXPECT_EQ(got.loss.scalar_type(), at::kFloat);
          expect_equal(got, p, reference(p, mix), 2e-5);
        }
      }
    }
  }
}

// One token, two ids. Student logits (0, 0): p = (1/2, 1/2). Teacher logits (ln 3, 0): q = (3/4, 1/4).
// KL(q || p) = 3/4 ln 3/2 + 1/4 ln 1/2 = 0.1308120; KL(p || q) would be 0.1438410. CE = ln 2.
// A = 1: d/dz = p - q = (-1/4, 1/4), times the head (1, 2): 1/4.
TEST(Distillation, ByHand) {
  const at::Tensor hidden = at::zeros({1, 1}).set_requires_grad(true);
  const at::Tensor head = at::tensor({1.0f, 2.0f}).view({2, 1});
  const TeacherSignal teacher = {
      at::ones({1, 1}), at::tensor({std::log(3.0f), 0.0f}).view({2, 1}), {}};
  const at::Tensor target = at::tensor({0}, at::kLong);
  const DistillationLoss got = fused_distillation(hidden, head, target, 1.0, teacher, {1.0, 1.0});
  EXPECT_NEAR(got.kl.item<double>(), 0.1308120, 1e-6);
  EXPECT_NEAR(got.ce.item<double>(), 0.6931472, 1e-6);
  EXPECT_NEAR(got.loss.item<double>(), 0.1308120, 1e-6);
  got.loss.backward();
  EXPECT_NEAR(hidden.grad().item<double>(), 0.25, 1e-6);
  // A = 1/4 at T = 1: 3/4 ln 2 + 1/4 of the above.
  EXPECT_NEAR(
      fused_distillation(hidden, head, target, 1.0, teacher, {0.25, 1.0}).loss.item<double>(),
      0.75 * 0.6931472 + 0.25 * 0.1308120, 1e-6);
}

TEST(Distillation, ExactlyZeroAtTheTeacher) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const double temperature : {1.0, 2.0, 0.7}) {
      const at::Tensor hidden = random_tensor({45, 6}, 1, dtype).set_requires_grad(true);
      const at::Tensor head = random_tensor({203, 6}, 2, dtype).set_requires_grad(true);
      const at::Tensor targets = random_ids(1, 45, 203, 3).view({-1});
      const TeacherSignal teacher = {hidden.detach().clone(), head.detach().clone(), {}};
      const DistillationLoss got =
          fused_distillation(hidden, head, targets, 1.0 / 45, teacher, {1.0, temperature});
      EXPECT_EQ(got.loss.item<double>(), 0) << temperature;
      EXPECT_EQ(got.kl.item<double>(), 0) << temperature;
      EXPECT_GT(got.ce.item<double>(), 1) << temperature;
      got.loss.backward();
      EXPECT_EQ(hidden.grad().abs().max().item<double>(), 0) << temperature;
      EXPECT_EQ(head.grad().abs().max().item<double>(), 0) << temperature;
    }
  }
}

TEST(Distillation, BucketsEqualAutogradInFloat64) {
  for (const at::Device device : devices()) {
    for (const int64_t k : {1, 8, 101}) {
      for (const double weight : {0.3, 1.0}) {
        for (const double temperature : {1.0, 2.0}) {
          SCOPED_TRACE(::testing::Message()
                       << device.str() << " k " << k << ", A " << weight << ", T " << temperature);
          Problem p(37, 101, device);
          const DistillationMix mix = {weight, temperature};
          const Reference want = reference(p, mix, k);
          TeacherSignal kept;
          kept.top_k = likeliest(p, k, temperature);
          expect_equal(fused_distillation(p.hidden, p.head, p.targets, p.scale, kept, mix), p, want,
                       2e-5);
        }
      }
    }
  }
}

// Joining outcomes into buckets can only lose divergence (data processing inequality).
TEST(Distillation, BucketsBoundTheFullKlFromBelow) {
  const Problem p(37, 101);
  const double full =
      fused_distillation(p.hidden, p.head, p.targets, p.scale, p.teacher, {}).kl.item<double>();
  double before = 0;
  for (const int64_t k : {1, 2, 4, 16, 64, 100}) {
    TeacherSignal kept;
    kept.top_k = likeliest(p, k, 1.0);
    const double kl =
        fused_distillation(p.hidden, p.head, p.targets, p.scale, kept, {}).kl.item<double>();
    EXPECT_GE(kl, before - 1e-6) << k;
    EXPECT_LE(kl, full + 1e-6) << k;
    before = kl;
  }
  EXPECT_LT(before, full + 1e-6);
  TeacherSignal all;
  all.top_k = likeliest(p, 101, 1.0);
  EXPECT_NEAR(fused_distillation(p.hidden, p.head, p.targets, p.scale, all, {}).kl.item<double>(),
              full, 3e-6 * full);
}

// What other devices run, seen on the CPU: float64 has no kernel.
TEST(Distillation, TheCompositionEqualsTheKernels) {
  const at::Tensor logits = random_tensor({33, 77}, 1);
  const at::Tensor teacher = random_tensor({33, 77}, 2);
  const at::Tensor targets = random_ids(1, 33, 77, 3).view({-1});
  targets[5].fill_(-1);
  const auto wide = [](const at::Tensor& t) { return t.to(at::kDouble); };
  for (const DistillationMix& mix : {DistillationMix{0.0, 1.0}, {0.3, 2.0}, {1.0, 1.0}}) {
    const auto compare = [&](const auto& narrow_teacher, const auto& wide_teacher) {
      const at::Tensor a = logits.clone();
      const at::Tensor b = wide(logits);
      const DistillationSums one = distillation_gradient_(a, narrow_teacher, targets, 0.1, mix);
      const DistillationSums two = distillation_gradient_(b, wide_teacher, targets, 0.1, mix);
      EXPECT_NEAR(one.ce.item<double>(), two.ce.item<double>(), 1e-6 * two.ce.item<double>());
      EXPECT_NEAR(one.kl.item<double>(), two.kl.item<double>(), 1e-6 * two.ce.item<double>());
      EXPECT_LT(relative_error(a, b), 2e-6) << mix.kl_weight;
      EXPECT_EQ(b[5].abs().max().item<double>(), 0);
    };
    compare(teacher.clone(), wide(teacher));
    for (const int64_t k : {3, 77}) {
      const at::Tensor log_t = at::log_softmax(teacher / mix.temperature, 1);
      const auto [top, ids] = log_t.topk(k, 1);
      const at::Tensor rest = at::logsumexp(log_t.scatter(1, ids, -INFINITY), 1);
      compare(TopKLogProbs{ids.to(at::kInt), top, rest},
              TopKLogProbs{ids.to(at::kInt), wide(top), wide(rest)});
    }
  }
}

TEST(Distillation, ThreadsDoNotChangeTheBits) {
  const auto run = [](int threads) {
    set_threads(threads);
    const at::Tensor student = random_tensor({97, 515}, 1);
    const at::Tensor teacher = random_tensor({97, 515}, 2);
    const DistillationSums sums = distillation_gradient_(
        student, teacher, random_ids(1, 97, 515, 3).view({-1}), 0.01, {0.4, 1.5});
    return std::tuple(student, sums.ce.item<double>(), sums.kl.item<double>());
  };
  const auto [one, ce, kl] = run(1);
  const auto [three, ce3, kl3] = run(3);
  set_threads(1);
  EXPECT_TRUE(at::equal(one, three));
  EXPECT_EQ(ce, ce3);
  EXPECT_EQ(kl, kl3);
}

}  // namespace
}  // namespace regroup::testing
