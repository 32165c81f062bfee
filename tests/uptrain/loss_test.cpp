#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/decoder_tools.h"
#include "optimizer.h"
#include "regroup/model/fused_loss.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

struct Composite {
  double loss;
  at::Tensor dhidden;
  at::Tensor dhead;
};

/// scale * sum of -log softmax, by autograd in float64.
Composite composite(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& targets,
                    double scale) {
  const at::Tensor h = hidden.detach().to(at::kDouble).clone().set_requires_grad(true);
  const at::Tensor w = head.detach().to(at::kDouble).clone().set_requires_grad(true);
  const at::Tensor log_p = at::log_softmax(at::matmul(h, w.t()), 1);
  const at::Tensor counted = targets.ge(0);
  const at::Tensor picked = log_p.gather(1, targets.clamp_min(0).unsqueeze(1)).squeeze(1);
  const at::Tensor loss = at::mul(at::sum(at::mul(picked, counted)), -scale);
  loss.backward();
  return {loss.item<double>(), h.grad(), w.grad()};
}

struct Case {
  int64_t tokens, hidden, vocab;
};

void expect_float64_result(at::Device device) {
  // 37 and 101: no multiple of any vector width. 70,001 ids: chunks of 29 tokens, the last is short.
  for (const Case& c : {Case{1, 3, 5}, Case{37, 7, 101}, Case{61, 5, 70001}}) {
    const at::Tensor hidden =
        random_tensor({c.tokens, c.hidden}, 1, at::kFloat, device).set_requires_grad(true);
    const at::Tensor head =
        random_tensor({c.vocab, c.hidden}, 2, at::kFloat, device).set_requires_grad(true);
    const at::Tensor targets = random_ids(1, c.tokens, c.vocab, 3).view({-1}).to(device);
    if (c.tokens > 3) {
      targets[0].fill_(-1);  // not counted: neither in the value nor in a gradient
      targets[c.tokens - 1].fill_(-100);
    }
    const double scale = 1.0 / 41;
    const Composite want = composite(hidden, head, targets, scale);
    const at::Tensor loss = fused_cross_entropy(hidden, head, targets, scale);
    EXPECT_EQ(loss.scalar_type(), at::kFloat);
    EXPECT_EQ(loss.dim(), 0);
    EXPECT_NEAR(loss.item<double>(), want.loss, 2e-6 * std::abs(want.loss)) << c.vocab;
    loss.backward();
    EXPECT_LT(relative_error(hidden.grad(), want.dhidden), long_sum_tolerance(device, 1e-5))
        << c.vocab;
    EXPECT_LT(relative_error(head.grad(), want.dhead), 1e-5) << c.vocab;
    if (c.tokens > 3) {
      EXPECT_EQ(hidden.grad()[0].abs().max().item<double>(), 0);
    }
  }
}

TEST(FusedCrossEntropy, EqualsAutogradInFloat64) {
  for (const at::Device device : devices()) {
    SCOPED_TRACE(device.str());
    expect_float64_result(device);
  }
}

TEST(FusedCrossEntropy, ByHand) {
  // hidden (0) gives equal logits for 4 ids: -log(1/4) = 1.386294; two tokens of weight 1/2.
  const at::Tensor hidden = at::zeros({2, 1}).set_requires_grad(true);
  const at::Tensor head = at::tensor({1.0f, 2.0f, 3.0f, 6.0f}).view({4, 1});
  const at::Tensor loss = fused_cross_entropy(hidden, head, at::tensor({0, 3}, at::kLong), 0.5);
  EXPECT_NEAR(loss.item<double>(), 1.3862943611, 1e-6);
  loss.backward();
  // d/dh = (mean of the head - row of the target) / 2: (3 - 1) / 2 and (3 - 6) / 2.
  EXPECT_NEAR(hidden.grad()[0].item<double>(), 1.0, 1e-6);
  EXPECT_NEAR(hidden.grad()[1].item<double>(), -1.5, 1e-6);
  EXPECT_FALSE(head.grad().defined());
}

TEST(FusedCrossEntropy, FrozenHeadAndUpstreamGradient) {
  const at::Tensor hidden = random_tensor({9, 4}, 1).set_requires_grad(true);
  const at::Tensor head = random_tensor({11, 4}, 2);
  const at::Tensor targets = random_ids(1, 9, 11, 3).view({-1});
  const Composite want = composite(hidden, head, targets, 1.0 / 9);
  at::mul(fused_cross_entropy(hidden, head, targets, 1.0 / 9), 3).backward();
  EXPECT_LT(relative_error(hidden.grad(), at::mul(want.dhidden, 3)), 1e-5);
  EXPECT_FALSE(head.grad().defined());
}

/// How often `name` ("aten::addmm_") runs inside `work`.
template <typename Work>
int count_operations(const std::string& name, const Work& work) {
  static std::string wanted;
  static int count;
  wanted = name;
  count = 0;
  const at::CallbackHandle handle =
      at::addThreadLocalCallback(at::RecordFunctionCallback([](const at::RecordFunction& f) {
                                   count += f.name() == wanted;
                                   return std::unique_ptr<at::ObserverContext>();
                                 }).scopes({at::RecordScope::FUNCTION}));
  work();
  at::removeCallback(handle);
  return count;
}

// As the rates of a run are chosen: the bits of the loss, without the work for its gradients.
TEST(FusedCrossEntropy, WithoutGradientsTakesNone) {
  const at::Tensor hidden = random_tensor({61, 5}, 1).set_requires_grad(true);
  const at::Tensor head = random_tensor({70001, 5}, 2).set_requires_grad(true);
  const at::Tensor targets = random_ids(1, 61, 70001, 3).view({-1});
  at::Tensor with, without;
  const auto loss = [&] { return fused_cross_entropy(hidden, head, targets, 1.0 / 61); };
  EXPECT_EQ(count_operations("aten::addmm_", [&] { with = loss(); }), 3) << "one a chunk";
  const int none = count_operations("aten::addmm_", [&] {
    const c10::NoGradGuard no_gradients;
    without = loss();
  });
  EXPECT_EQ(none, 0);
  EXPECT_TRUE(with.requires_grad());
  EXPECT_FALSE(without.requires_grad());
  EXPECT_EQ(with.item<float>(), without.item<float>());
}

TEST(FusedCrossEntropy, Bfloat16IsClose) {
  const at::Tensor hidden = random_tensor({33, 8}, 1, at::kBFloat16).set_requires_grad(true);
  const at::Tensor head = random_tensor({65, 8}, 2, at::kBFloat16).set_requires_grad(true);
  const at::Tensor targets = random_ids(1, 33, 65, 3).view({-1});
  const Composite want = composite(hidden, head, targets, 1.0 / 33);
  const at::Tensor loss = fused_cross_entropy(hidden, head, targets, 1.0 / 33);
  EXPECT_NEAR(loss.item<double>(), want.loss, 0.01 * want.loss);
  loss.backward();
  EXPECT_EQ(hidden.grad().scalar_type(), at::kBFloat16);
  EXPECT_LT(relative_error(hidden.grad(), want.dhidden), 0.03);
  EXPECT_LT(relative_error(head.grad(), want.dhead), 0.03);
}

/// AdamW as arXiv:1711.05101 writes it, in float64.
struct Reference {
  std::vector<double> p, m, v;
  double decay;
  void step(const std::vector<double>& g, double lr, int t) {
    m.resize(p.size());
    v.resize(p.size());
    for (size_t i = 0; i < p.size(); ++i) {
      p[i] -= lr * decay * p[i];
      m[i] = 0.9 * m[i] + 0.1 * g[i];
      v[i] = 0.95 * v[i] + 0.05 * g[i] * g[i];
      const double m_hat = m[i] / (1 - std::pow(0.9, t));
      const double v_hat = v[i] / (1 - std::pow(0.95, t));
      p[i] -= lr * m_hat / (std::sqrt(v_hat) + 1e-8);
    }
  }
};

std::vector<double> values(const at::Tensor& t) {
  const at::Tensor d = t.detach().to(at::kDouble).contiguous();
  return {d.data_ptr<double>(), d.data_ptr<double>() + d.numel()};
}

/// Gives each leaf the gradient in `wanted` through autograd, as a loss would.
void backward(const std::vector<at::Tensor>& leaves, const std::vector<at::Tensor>& wanted) {
  at::Tensor loss = at::zeros({});
  for (size_t i = 0; i < leaves.size(); ++i) {
    loss = at::add(loss, at::sum(at::mul(leaves[i], wanted[i])));
  }
  loss.backward();
}

TEST(AdamW, FollowsTheFormulaWithClippingAndDecayOfMatricesAlone) {
  const at::Tensor matrix = random_tensor({3, 5}, 1).set_requires_grad(true);
  const at::Tensor vector = random_tensor({7}, 2).set_requires_grad(true);
  Reference of_matrix{values(matrix), {}, {}, 0.1};
  Reference of_vector{values(vector), {}, {}, 0.0};
  AdamW optimizer({matrix, vector}, {.weight_decay = 0.1, .clip_grad_norm = 1.0});
  EXPECT_EQ(optimizer.n_elements(), 22);
  for (int t = 1; t <= 5; ++t) {
    // The first steps are clipped (norm above 1), the later ones are not.
    const double size = t <= 3 ? 2.0 : 0.1;
    const at::Tensor gm = at::mul(random_tensor({3, 5}, 10 + static_cast<uint64_t>(t)), size);
    const at::Tensor gv = at::mul(random_tensor({7}, 20 + static_cast<uint64_t>(t)), size);
    const double norm =
        std::sqrt(gm.square().sum().item<double>() + gv.square().sum().item<double>());
    const double clip = norm > 1 ? 1 / norm : 1;
    of_matrix.step(values(at::mul(gm, clip)), 0.02 * t, t);
    of_vector.step(values(at::mul(gv, clip)), 0.02 * t, t);
    optimizer.zero_gradients();
    // In two halves: gradients of micro-batches add up.
    backward({matrix, vector}, {at::mul(gm, 0.25), at::mul(gv, 0.25)});
    backward({matrix, vector}, {at::mul(gm, 0.75), at::mul(gv, 0.75)});
    const StepOutcome outcome = optimizer.step(0.02 * t);
    EXPECT_TRUE(outcome.applied);
    EXPECT_NEAR(outcome.grad_norm, norm, 1e-5 * norm);
  }
  for (size_t i = 0; i < 15; ++i) EXPECT_NEAR(values(matrix)[i], of_matrix.p[i], 5e-6) << i;
  for (size_t i = 0; i < 7; ++i) EXPECT_NEAR(values(vector)[i], of_vector.p[i], 5e-6) << i;
}

TEST(AdamW, NonFiniteGradientChangesNothing) {
  const at::Tensor matrix = random_tensor({2, 3}, 1).set_requires_grad(true);
  AdamW optimizer({matrix}, {});
  backward({matrix}, {random_tensor({2, 3}, 2)});
  optimizer.step(0.1);
  std::map<std::string, at::Tensor> before;
  for (const auto& [name, tensor] : optimizer.state()) before[name] = tensor.clone();
  for (const double bad :
       {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    optimizer.zero_gradients();
    const at::Tensor gradient = random_tensor({2, 3}, 3);
    gradient[1][2].fill_(bad);
    backward({matrix}, {gradient});
    EXPECT_FALSE(optimizer.step(0.1).applied);
    for (const auto& [name, tensor] : optimizer.state()) {
      EXPECT_TRUE(at::equal(tensor, before.at(name))) << name;
    }
    EXPECT_TRUE(at::equal(matrix.detach().flatten(), before.at("decay.master")));
  }
}

TEST(AdamW, StateRoundTripGoesOnBitForBit) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor one = random_tensor({4, 6}, 1, dtype).set_requires_grad(true);
    const at::Tensor two = at::zeros({4, 6}, one.options()).set_requires_grad(true);
    const auto step = [](AdamW& optimizer, const at::Tensor& leaf, uint64_t seed) {
      optimizer.zero_gradients();
      backward({leaf}, {random_tensor({4, 6}, seed, leaf.scalar_type())});
      optimizer.step(0.01);
    };
    AdamW first({one}, {});
    for (uint64_t t = 1; t <= 3; ++t) step(first, one, t);
    std::map<std::string, at::Tensor> saved;
    for (const auto& [name, tensor] : first.state()) saved[name] = tensor.clone();
    AdamW second({two}, {});
    second.load_state(saved);
    EXPECT_TRUE(at::equal(one.detach(), two.detach()));
    for (uint64_t t = 4; t <= 6; ++t) {
      step(first, one, t);
      step(second, two, t);
    }
    EXPECT_TRUE(at::equal(one.detach(), two.detach()));
    for (const auto& [name, tensor] : first.state()) {
      EXPECT_TRUE(at::equal(tensor, second.state().at(name))) << name;
    }
  }
}

TEST(AdamW, ForeignStateIsRefused) {
  const at::Tensor matrix = random_tensor({2, 3}, 1).set_requires_grad(true);
  AdamW optimizer({matrix}, {});
  std::map<std::string, at::Tensor> saved = optimizer.state();
  saved["decay.exp_avg"] = at::zeros({7});
  const ErrorInfo error = expect_error("CKPT_STATE", [&] { optimizer.load_state(saved); });
  EXPECT_EQ(error.message, "the optimizer state must hold decay.exp_avg with 6 values");
}

}  // namespace
}  // namespace regroup::testing
