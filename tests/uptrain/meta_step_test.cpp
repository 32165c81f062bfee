// A training step on LibTorch's meta device: nothing in it looks at a value or mixes devices.
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "regroup/model/fused_loss.h"
#include "trainable.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

using at::Tensor;

at::TensorOptions meta(at::ScalarType dtype) {
  return at::TensorOptions().dtype(dtype).device(at::kMeta);
}

class MetaStep : public ::testing::TestWithParam<at::ScalarType> {
 protected:
  MetaStep() : config_(config()) {}
  ModelConfig config() const {
    const TemporaryFolder temporary;
    write_tiny_model(temporary / "model", {.n_kv_heads = 2, .attention_bias = true});
    return ModelFolder::open(temporary / "model").config();
  }
  /// A whole step of two micro-batches; `loss_of` takes hidden states, head and targets.
  template <typename Loss>
  void step(TrainScope scope, const Loss& loss_of) {
    Decoder decoder(config_, GetParam(), at::kMeta);
    decoder.set_activation_checkpointing(true);
    AdamW optimizer(choose_trainable(decoder, scope, 4.0), {});
    optimizer.zero_gradients();
    for (int i = 0; i < 2; ++i) {
      const Tensor ids = at::empty({2, 17}, meta(at::kLong));
      const Tensor hidden = decoder.hidden(ids.narrow(1, 0, 16)).flatten(0, 1);
      const Tensor loss = loss_of(hidden, decoder.lm_head(), ids.narrow(1, 1, 16).flatten());
      EXPECT_TRUE(loss.is_meta());
      EXPECT_EQ(loss.scalar_type(), at::kFloat);
      loss.backward();
    }
    EXPECT_TRUE(optimizer.norm_of_share().is_meta());
    EXPECT_TRUE(optimizer.step(0.01, 2.0).applied);
    for (const auto& [name, tensor] : optimizer.state()) EXPECT_TRUE(tensor.is_meta()) << name;
    for (const Tensor& p : decoder.parameters()) EXPECT_EQ(p.scalar_type(), GetParam());
  }
  ModelConfig config_;
};

TEST_P(MetaStep, CrossEntropy) {
  for (const TrainScope scope : {TrainScope::kAll, TrainScope::kAttention, TrainScope::kKv}) {
    step(scope, [](const Tensor& hidden, const LmHead& head, const Tensor& targets) {
      return fused_cross_entropy(hidden, head, targets, 0.1);
    });
  }
}

TEST_P(MetaStep, TeacherAndItsCache) {
  const TopKLogProbs kept = {at::empty({32, 4}, meta(at::kInt)),
                             at::empty({32, 4}, meta(at::kFloat)),
                             at::empty({32}, meta(at::kFloat))};
  const TeacherSignal asked = {
      at::empty({32, 32}, meta(GetParam())), at::empty({64, 32}, meta(GetParam())), {}};
  for (const TeacherSignal& teacher : {asked, TeacherSignal{{}, {}, kept}}) {
    step(TrainScope::kAll, [&](const Tensor& hidden, const LmHead& head, const Tensor& targets) {
      const DistillationLoss loss =
          fused_distillation(hidden, head, targets, 0.1, teacher, {0.5, 2.0});
      EXPECT_TRUE(loss.ce.is_meta());
      EXPECT_TRUE(loss.kl.is_meta());
      return loss.loss;
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Precisions, MetaStep, ::testing::Values(at::kFloat, at::kBFloat16));

}  // namespace
}  // namespace regroup::testing
