// Weights from disk to the decoder and back, and fresh ones.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "model/decoder_tools.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

const std::pair<const char*, TinyModelSpec> kSpecs[] = {
    {"grouped", {.n_heads = 6, .n_kv_heads = 3, .head_dim = 10, .hidden_size = 36}},
    {"biases", {.attention_bias = true, .mlp_bias = true}},
    {"tied", {.tie_word_embeddings = true, .n_shards = 2}},
    {"mistral", {.model_type = "mistral", .n_kv_heads = 2, .sliding_window = 5}},
    {"qwen2", {.model_type = "qwen2", .n_kv_heads = 2}},
    {"stablelm", {.model_type = "stablelm", .n_kv_heads = 2, .attention_bias = true}},
    {"fused by groups", {.model_type = "internlm2", .n_kv_heads = 2, .attention_bias = true}},
    {"a norm for the MLP", {.model_type = "falcon", .n_kv_heads = 2, .attention_bias = true}},
};
constexpr Dtype kDtypes[] = {Dtype::kF32, Dtype::kBF16, Dtype::kF16};

std::string saved_bytes(const std::string& folder, const Decoder& decoder,
                        const std::map<std::string, Dtype>& dtypes) {
  std::filesystem::create_directory(folder);
  save_weights(decoder, {.folder = folder, .dtypes = dtypes});
  return read_file(folder + "/model.safetensors");
}

// float32 holds every value of the three dtypes, and a dtype its own.
TEST(LoadWeights, SavedBackTheBytesAreThoseLoaded) {
  for (const at::Device device : devices()) {
    for (const auto& [why, base] : kSpecs) {
      for (const Dtype stored : kDtypes) {
        for (const at::ScalarType compute : {to_scalar_type(stored), at::kFloat}) {
          SCOPED_TRACE(std::string(why) + " in " + std::string(dtype_name(stored)));
          TinyModelSpec spec = base;
          spec.dtype = stored;
          const TemporaryFolder temporary;
          write_tiny_model(temporary / "model", spec);
          const ModelFolder folder = ModelFolder::open(temporary / "model");
          const Decoder decoder = load_decoder(folder, compute, device);
          EXPECT_TRUE(saved_bytes(temporary / "saved", decoder, stored_dtypes(folder)) ==
                      safetensors_bytes(tiny_tensors(spec), {{"format", "pt"}}));
        }
      }
    }
  }
}

// Any stored dtype to any computed one: each value is rounded once.
TEST(LoadWeights, EveryDtypeToEveryDtype) {
  for (const Dtype stored : kDtypes) {
    for (const Dtype wanted : kDtypes) {
      SCOPED_TRACE(std::string(dtype_name(stored)) + " to " + std::string(dtype_name(wanted)));
      const TemporaryFolder temporary;
      const TinyModelSpec spec{.n_kv_heads = 2, .dtype = stored};
      write_tiny_model(temporary / "model", spec);
      const Decoder decoder = load_folder(temporary / "model", to_scalar_type(wanted));
      EXPECT_EQ(decoder.dtype(), to_scalar_type(wanted));
      std::vector<TensorData> expected = tiny_tensors(spec);
      for (TensorData& tensor : expected) {
        std::vector<double> values(
            static_cast<size_t>(tensor_bytes(Dtype::kF64, tensor.spec.shape)) / 8);
        widen(stored, std::as_bytes(std::span(tensor.bytes)), values);
        tensor.spec.dtype = wanted;
        tensor.bytes = encode_values(wanted, values);
      }
      EXPECT_TRUE(saved_bytes(temporary / "saved", decoder, {}) ==
                  safetensors_bytes(expected, {{"format", "pt"}}));
    }
  }
}

TEST(LoadWeights, ShardsAndTheirIndex) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {.dtype = Dtype::kBF16});
  const Decoder decoder = load_folder(temporary / "model");
  std::filesystem::create_directory(temporary / "saved");
  copy_companions(temporary / "model", temporary / "saved");
  save_weights(decoder, {.folder = temporary / "saved",
                         .dtypes = stored_dtypes(ModelFolder::open(temporary / "model")),
                         .max_shard_bytes = 9000});
  const ModelFolder saved = ModelFolder::open(temporary / "saved");
  EXPECT_GT(saved.shards().size(), 3u);
  EXPECT_TRUE(saved.has_index());
  const auto index =
      nlohmann::ordered_json::parse(read_file(temporary / "saved/model.safetensors.index.json"));
  EXPECT_EQ(index.at("metadata").at("total_size"), saved.weight_bytes());
  for (const auto& shard : saved.shards()) {
    int64_t bytes = 0;
    for (const TensorInfo& tensor : shard->tensors()) bytes += tensor.bytes();
    EXPECT_LE(bytes, 9000);
  }
  const at::Tensor ids = random_ids(1, 9, 64, 1);
  EXPECT_TRUE(all_logits(decoder, ids).equal(all_logits(load_folder(temporary / "saved"), ids)));
}

TEST(LoadWeights, NonfiniteWeights) {
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {});
  std::vector<TensorData> tensors = tiny_tensors({});
  for (TensorData& tensor : tensors) {
    if (tensor.spec.name != "model.layers.1.mlp.up_proj.weight") continue;
    std::vector<double> values(48 * 32, 0.5);
    values[77] = std::numeric_limits<double>::quiet_NaN();
    values[78] = std::numeric_limits<double>::infinity();
    tensor.bytes = encode_values(Dtype::kF32, values);
  }
  write_tensors(temporary / "model", tensors, 1);
  const ErrorInfo error = expect_error("VAL_NONFINITE", [&] { load_folder(temporary / "model"); });
  EXPECT_EQ(error.message, temporary /
                               "model: tensor \"model.layers.1.mlp.up_proj.weight\": "
                               "weights must be finite, found 2 NaN or infinite values, "
                               "the first at element 77");
  EXPECT_EQ(error.hint, "the checkpoint is damaged; fetch or make it again");
}

struct Moments {
  double mean;
  double deviation;
};
Moments moments(const at::Tensor& values) {
  const at::Tensor wide = values.to(at::kDouble);
  const double mean = wide.mean().item<double>();
  return {mean, std::sqrt(wide.sub(mean).square().mean().item<double>())};
}

// initializer_range 0.02; o_proj and down_proj by sqrt(2 x 8 layers) = 4 less. The deviation of n
// values has a relative error of 1 / sqrt(2 n): 0.5 % for n = 16,384.
TEST(InitializeWeights, Deviations) {
  const TinyModelSpec spec{.n_layers = 8,
                           .n_heads = 8,
                           .n_kv_heads = 4,
                           .head_dim = 32,
                           .hidden_size = 128,
                           .intermediate_size = 192,
                           .vocab_size = 256,
                           .attention_bias = true,
                           .mlp_bias = true};
  const ModelConfig config = parse_model_config(tiny_config(spec), "config.json");
  for (const at::Device device : devices()) {
    Decoder decoder(config, at::kFloat, device);
    initialize_weights(decoder, 1);
    for (const NamedWeight& weight : decoder.named_weights()) {
      const Moments found = moments(weight.view.to(at::kCPU));
      const std::string& name = weight.name;
      if (name.ends_with("norm.weight")) {
        EXPECT_TRUE(weight.view.eq(1).all().item<bool>()) << name;
      } else if (name.ends_with(".bias")) {
        EXPECT_TRUE(weight.view.eq(0).all().item<bool>()) << name;
      } else {
        const bool residual =
            name.find("o_proj") != std::string::npos || name.find("down_proj") != std::string::npos;
        EXPECT_NEAR(found.deviation, residual ? 0.005 : 0.02, residual ? 1e-4 : 4e-4) << name;
        EXPECT_NEAR(found.mean, 0, 6e-4) << name;
      }
    }
  }
}

TEST(InitializeWeights, FollowFromTheSeed) {
  const ModelConfig config = parse_model_config(tiny_config({}), "config.json");
  const auto make = [&](uint64_t seed) {
    Decoder decoder(config, at::kFloat, at::kCPU);
    initialize_weights(decoder, seed);
    return decoder;
  };
  Decoder a = make(1);
  Decoder b = make(1);
  Decoder c = make(2);
  for (size_t i = 0; i < a.parameters().size(); ++i) {
    EXPECT_TRUE(a.parameters()[i].equal(b.parameters()[i])) << i;
  }
  EXPECT_FALSE(a.layer(0).qkv.equal(c.layer(0).qkv));
  EXPECT_FALSE(a.layer(0).qkv.equal(a.layer(1).qkv));
  EXPECT_FALSE(a.layer(0).qkv.narrow(0, 0, 32).equal(a.layer(0).qkv.narrow(0, 32, 32)));
}

}  // namespace
}  // namespace regroup::testing
