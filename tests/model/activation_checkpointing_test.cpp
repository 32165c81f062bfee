// Recomputing activations instead of keeping them changes no bit of any gradient.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

using at::Tensor;

struct Pass {
  Tensor loss;
  std::vector<Tensor> gradients;
};

Pass backward(const Decoder& decoder, const std::vector<Tensor>& wanted, const Tensor& ids) {
  const Tensor logits = decoder.logits(decoder.hidden(ids.to(decoder.device())));
  const Tensor up = random_tensor(logits.sizes().vec(), 5, logits.scalar_type(), logits.device());
  const Tensor loss = logits.mul(up).sum();
  return {loss, torch::autograd::grad({loss}, wanted)};
}

const std::pair<const char*, TinyModelSpec> kSpecs[] = {
    {"MHA", {.n_layers = 3}},
    {"grouped, biases",
     {.n_layers = 3, .n_heads = 6, .n_kv_heads = 3, .attention_bias = true, .mlp_bias = true}},
    {"tied", {.tie_word_embeddings = true}},
    {"LayerNorm", {.model_type = "stablelm", .n_layers = 3, .attention_bias = true}},
    {"QK-norm of heads", {.model_type = "qwen3", .n_layers = 3, .attention_bias = true}},
    {"QK-norm of all, norms behind", {.model_type = "olmo2", .n_layers = 3}},
    {"1 + weight, GELU", {.model_type = "gemma", .tie_word_embeddings = true}},
    {"multipliers", {.model_type = "granite", .n_layers = 3}},
    {"no RoPE in a layer", {.model_type = "smollm3", .n_layers = 3}},
    {"window", {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 5}},
};

TEST(ActivationCheckpointing, GradientsKeepTheirBits) {
  for (const at::Device device : devices()) {
    for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
      for (const auto& [why, spec] : kSpecs) {
        SCOPED_TRACE(why);
        const TemporaryFolder temporary;
        write_tiny_model(temporary / "model", spec);
        Decoder decoder = load_folder(temporary / "model", dtype, device);
        const std::vector<Tensor> parameters = decoder.parameters();
        for (const Tensor& p : parameters) p.set_requires_grad(true);
        const Tensor ids = random_ids(2, 17, spec.vocab_size, 1);
        const Pass kept = backward(decoder, parameters, ids);
        decoder.set_activation_checkpointing(true);
        const Pass recomputed = backward(decoder, parameters, ids);
        EXPECT_TRUE(kept.loss.equal(recomputed.loss));
        for (size_t i = 0; i < parameters.size(); ++i) {
          EXPECT_GT(kept.gradients[i].abs().max().item<double>(), 0) << "parameter " << i;
          EXPECT_TRUE(kept.gradients[i].equal(recomputed.gradients[i])) << "parameter " << i;
        }
      }
    }
  }
}

// As `--train attention` does: only some tensors want a gradient.
TEST(ActivationCheckpointing, SomeParametersOnly) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {.n_layers = 3, .n_kv_heads = 2});
  Decoder decoder = load_folder(temporary / "model");
  std::vector<Tensor> wanted;
  for (int64_t layer = 1; layer < 3; ++layer) {
    wanted.push_back(decoder.layer(layer).qkv.set_requires_grad(true));
    wanted.push_back(decoder.layer(layer).output.set_requires_grad(true));
  }
  const Tensor ids = random_ids(1, 9, 64, 1);
  const Pass kept = backward(decoder, wanted, ids);
  decoder.set_activation_checkpointing(true);
  const Pass recomputed = backward(decoder, wanted, ids);
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_TRUE(kept.gradients[i].equal(recomputed.gradients[i])) << i;
  }
}

// Forward passes whose graph is dropped, and a backward pass that is run twice.
TEST(ActivationCheckpointing, DroppedAndRetainedGraphs) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {});
  Decoder decoder = load_folder(temporary / "model");
  decoder.set_activation_checkpointing(true);
  const Tensor weight = decoder.layer(0).qkv.set_requires_grad(true);
  const Tensor ids = random_ids(1, 9, 64, 1);
  for (int i = 0; i < 3; ++i) decoder.hidden(ids);
  const Tensor loss = decoder.hidden(ids).square().sum();
  const auto gradient = [&] {
    return torch::autograd::grad({loss}, {weight}, {}, /*retain_graph=*/true)[0];
  };
  const Tensor first = gradient();
  EXPECT_TRUE(first.equal(gradient()));
}

}  // namespace
}  // namespace regroup::testing
