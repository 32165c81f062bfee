// LibTorch's meta device computes shapes, dtypes and devices alone: a host tensor among the operands, or a
// look at a value, is an error there.
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "regroup/checkpoint/config.h"
#include "regroup/model/layer.h"

namespace regroup::testing {
namespace {

using at::Tensor;

ModelConfig config_of(const TinyModelSpec& spec) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", spec);
  return ModelFolder::open(temporary / "model").config();
}

const TinyModelSpec kSpecs[] = {
    {.n_heads = 6, .n_kv_heads = 3, .attention_bias = true, .mlp_bias = true},
    {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 5},
    {.model_type = "stablelm", .n_kv_heads = 2, .tie_word_embeddings = true},
};

Tensor meta_ids(int64_t seq) {
  return at::empty({2, seq}, at::TensorOptions().dtype(at::kLong).device(at::kMeta));
}

TEST(MetaDevice, ForwardAndBackward) {
  for (const TinyModelSpec& spec : kSpecs) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const bool checkpointing : {false, true}) {
        Decoder decoder(config_of(spec), dtype, at::kMeta);
        decoder.set_activation_checkpointing(checkpointing);
        for (const Tensor& p : decoder.parameters()) p.set_requires_grad(true);
        const Tensor logits = decoder.logits(decoder.hidden(meta_ids(17)));
        EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{2, 17, spec.vocab_size}));
        EXPECT_EQ(logits.scalar_type(), dtype);
        logits.sum().backward();
        for (const Tensor& p : decoder.parameters()) {
          EXPECT_EQ(p.grad().sizes(), p.sizes());
          EXPECT_EQ(p.grad().scalar_type(), dtype);
          EXPECT_TRUE(p.grad().is_meta());
        }
      }
    }
  }
}

// What generate() asks of the decoder: a prompt, then token by token.
TEST(MetaDevice, KvCache) {
  for (const TinyModelSpec& spec : kSpecs) {
    const ModelConfig config = config_of(spec);
    const Decoder decoder(config, at::kBFloat16, at::kMeta);
    KvCache cache(config, 2, 24, at::kBFloat16, at::kMeta);
    EXPECT_EQ(decoder.hidden(meta_ids(17), &cache).size(1), 17);
    EXPECT_EQ(decoder.hidden(meta_ids(4), &cache).size(1), 4);
    for (int i = 0; i < 3; ++i) {
      const Tensor next = decoder.logits(decoder.hidden(meta_ids(1), &cache)).argmax(-1);
      EXPECT_EQ(next.sizes(), (std::vector<int64_t>{2, 1}));
      EXPECT_TRUE(next.is_meta());
    }
    EXPECT_EQ(cache.length(), 24);
  }
}

}  // namespace
}  // namespace regroup::testing
