// Parts of a fused tensor with learning rates of their own, or none.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "optimizer.h"
#include "support/expect_error.h"
#include "trainable.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

void backward(const at::Tensor& leaf, const at::Tensor& gradient) {
  at::sum(at::mul(leaf, gradient)).backward();
}

TEST(TrainedRows, OthersKeepTheirBytesAndTheNormLeavesThemOut) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor leaf = random_tensor({7, 3}, 1, dtype).set_requires_grad(true);
    const at::Tensor before = leaf.detach().clone();
    AdamW optimizer({TrainedRows(leaf, 2, 4, 1.0)}, {.weight_decay = 0.1});
    EXPECT_EQ(optimizer.n_elements(), 12);
    const at::Tensor gradient = random_tensor({7, 3}, 2, dtype);
    optimizer.zero_gradients();
    backward(leaf, gradient);
    const StepOutcome outcome = optimizer.step(0.1);
    EXPECT_NEAR(outcome.grad_norm, gradient.narrow(0, 2, 4).to(at::kDouble).norm().item<double>(),
                1e-5);
    const at::Tensor same = leaf.detach().eq(before).all(1);
    for (int64_t row = 0; row < 7; ++row) {
      EXPECT_EQ(same[row].item<bool>(), row < 2 || row > 5) << row;
    }
  }
}

// The first step of AdamW is lr * (sign of the gradient) up to eps, whatever the gradient's size.
TEST(TrainedRows, EachRangeHasItsOwnRate) {
  const at::Tensor leaf = at::zeros({5, 3}).set_requires_grad(true);
  AdamW optimizer({TrainedRows(leaf, 0, 3, 1.0), TrainedRows(leaf, 3, 2, 10.0)},
                  {.weight_decay = 0.0, .clip_grad_norm = 0});
  optimizer.zero_gradients();
  backward(leaf, at::full({5, 3}, -0.5));
  optimizer.step(0.01);
  EXPECT_NEAR(leaf[2][1].item<double>(), 0.01, 1e-7);
  EXPECT_NEAR(leaf[3][0].item<double>(), 0.1, 1e-6);
  const auto state = optimizer.state();
  EXPECT_EQ(state.at("decay.master").numel(), 9);
  EXPECT_EQ(state.at("decay@10.exp_avg").numel(), 6);
}

TEST(TrainedRows, SplittingChangesNothingByItself) {
  const at::Tensor whole = random_tensor({6, 4}, 1).set_requires_grad(true);
  const at::Tensor split = random_tensor({6, 4}, 1).set_requires_grad(true);
  AdamW one({whole}, {});
  AdamW two({TrainedRows(split, 0, 2, 1.0), TrainedRows(split, 2, 4, 1.0)}, {});
  for (uint64_t t = 1; t <= 4; ++t) {
    for (AdamW* optimizer : {&one, &two}) optimizer->zero_gradients();
    backward(whole, random_tensor({6, 4}, 10 + t));
    backward(split, random_tensor({6, 4}, 10 + t));
    for (AdamW* optimizer : {&one, &two}) optimizer->step(0.01);
  }
  EXPECT_TRUE(at::equal(whole.detach(), split.detach()));
}

class KvAlone : public ::testing::TestWithParam<std::string> {};

TEST_P(KvAlone, LeavesEveryOtherByteAlone) {
  const Fixture f(GetParam());
  write_tiny_model(f.folder / "biased", {.n_layers = 2,
                                         .n_kv_heads = 2,
                                         .dtype = GetParam() == "bf16" ? Dtype::kBF16 : Dtype::kF32,
                                         .attention_bias = true,
                                         .mlp_bias = true});
  UptrainOptions options = f.into("run");
  options.model = f.folder / "biased";
  options.train = TrainScope::kKv;
  options.kv_lr_scale = 2;
  RunFacts facts;
  TrainObserver observer;
  observer.started = [&](const RunFacts& found) { facts = found; };
  uptrain(options, observer);
  EXPECT_EQ(facts.n_trainable, 2 * 2 * (16 * 32 + 16));  // layers, k and v: weight and bias
  const auto before = tensors_of(f.folder / "biased");
  const auto after = tensors_of(options.out + "/model");
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, bytes] : before) {
    const bool kv =
        name.find("k_proj") != std::string::npos || name.find("v_proj") != std::string::npos;
    EXPECT_EQ(after.at(name) != bytes, kv) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Precision, KvAlone, ::testing::Values("fp32", "bf16"),
                         [](const auto& parameter) { return parameter.param; });

TEST(Scopes, HaveNames) {
  for (const char* name : {"all", "attention", "kv"}) {
    EXPECT_STREQ(name_of(value_of<TrainScope>(name, "--train")), name);
  }
}

TEST(Scopes, AnotherRateForKvIsRefusedOnResume) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  options.kv_lr_scale = 3;
  stop_after(options, 2);
  options.kv_lr_scale = 1;
  const ErrorInfo error = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(error.message, "other settings: kv_lr_scale (was 3.0, now absent)"));
}

}  // namespace
}  // namespace regroup::testing
