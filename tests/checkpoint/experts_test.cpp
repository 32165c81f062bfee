// Mixtures of experts in config.json and in the table of tensors.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/mlp_sizes.h"
#include "regroup/checkpoint/model_folder.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

ModelConfig parsed(const std::string& family, const std::string& more) {
  return parse_model_config(fmt::format(R"({{"model_type": "{}", {}}})", family, more),
                            "config.json");
}

constexpr const char* kOlmoe = R"("hidden_size": 2048, "intermediate_size": 1024,
  "num_hidden_layers": 16, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 50304)";
constexpr const char* kDeepSeekMoe = R"("hidden_size": 2048, "intermediate_size": 10944,
  "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 102400,
  "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "moe_intermediate_size": 1408,
  "first_k_dense_replace": 1, "moe_layer_freq": 1)";
constexpr const char* kMixtral = R"("hidden_size": 4096, "intermediate_size": 14336,
  "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 32000)";
constexpr const char* kQwenMoe = R"("hidden_size": 2048, "intermediate_size": 5632,
  "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16, "vocab_size": 151936)";
constexpr const char* kQwen3Moe =
    R"("hidden_size": 2048, "intermediate_size": 6144, "head_dim": 128,
  "num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "vocab_size": 151936,
  "moe_intermediate_size": 768, "num_experts": 128, "num_experts_per_tok": 8, "norm_topk_prob": true)";

// The numbers of parameters are those that the published folders state; a token's are their names' (1B-7B, 8x7B,
// A2.7B, 30B-A3B).
TEST(Experts, CountPublishedModels) {
  const ModelConfig olmoe = parsed("olmoe", kOlmoe);
  EXPECT_EQ(count_parameters(olmoe), 6'919'161'856);
  EXPECT_EQ(active_parameters(olmoe), 1'282'017'280);
  const ModelConfig mixtral = parsed("mixtral", kMixtral);
  EXPECT_EQ(count_parameters(mixtral), 46'702'792'704);
  EXPECT_EQ(active_parameters(mixtral), 12'879'925'248);
  const ModelConfig qwen = parsed("qwen2_moe", kQwenMoe);
  EXPECT_EQ(count_parameters(qwen), 14'315'784'192);
  EXPECT_EQ(active_parameters(qwen), 2'689'173'504);
  const ModelConfig deepseek = parsed("deepseek", kDeepSeekMoe);
  EXPECT_EQ(count_parameters(deepseek), 16'375'728'128);
  EXPECT_EQ(active_parameters(deepseek), 2'828'650'496);
  const ModelConfig qwen3 = parsed("qwen3_moe", kQwen3Moe);
  EXPECT_EQ(count_parameters(qwen3), 30'532'122'624);
  EXPECT_EQ(active_parameters(qwen3), 3'353'032'704);
}

TEST(Experts, AreReadFromEitherSpelling) {
  const ModelConfig qwen = parsed("qwen2_moe", kQwenMoe);  // what the class takes
  EXPECT_EQ(qwen.experts, (Experts{.count = 60,
                                   .per_token = 4,
                                   .intermediate_size = 1408,
                                   .shared_intermediate_size = 5632,
                                   .shared_is_gated = true,
                                   .sum_to_one = false}));
  const std::string sizes = std::string(kQwenMoe) + R"(, "num_experts_per_tok": 2)";
  const ModelConfig local = parsed("qwen2_moe", sizes + R"(, "num_local_experts": 8)");
  EXPECT_EQ(local.experts.count, 8);
  EXPECT_EQ(local.experts.per_token, 2);
  EXPECT_EQ(parsed("mixtral", std::string(kMixtral) + R"(, "num_experts": 4)").experts.count, 4);
  EXPECT_TRUE(parsed("mixtral", kMixtral).experts.sum_to_one);
  EXPECT_TRUE(parsed("qwen3_moe", kQwen3Moe).experts.sum_to_one);
  EXPECT_EQ(parsed("deepseek", kDeepSeekMoe).experts.shared_intermediate_size, 2 * 1408);
  const ModelConfig dense = parsed("deepseek", kOlmoe);  // no n_routed_experts
  EXPECT_EQ(dense.experts.count, 0);
  EXPECT_FALSE(dense.has_experts(3));
}

TEST(Experts, AreInTheLayersThatTheConfigSays) {
  const auto layers = [](const std::string& more) {
    const ModelConfig config =
        parsed("qwen3_moe", R"("hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 6,
  "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 32)" +
                                more);
    std::string text;
    for (int64_t layer = 0; layer < 6; ++layer) text += config.has_experts(layer) ? 'e' : '-';
    return text;
  };
  EXPECT_EQ(layers(""), "eeeeee");
  EXPECT_EQ(layers(R"(, "decoder_sparse_step": 2)"), "-e-e-e");
  EXPECT_EQ(layers(R"(, "mlp_only_layers": [0, 5])"), "-eeee-");
  EXPECT_EQ(layers(R"(, "mlp_only_layers": [3], "decoder_sparse_step": 2)"), "-e---e");
  EXPECT_EQ(layers(R"(, "mlp_only_layers": null)"), "eeeeee");
  const ModelConfig deepseek = parsed("deepseek", kDeepSeekMoe);
  EXPECT_FALSE(deepseek.has_experts(0));
  EXPECT_TRUE(deepseek.has_experts(1) && deepseek.has_experts(27));
}

TEST(Experts, ThatContradictThemselvesAreRefused) {
  struct Case {
    const char* more;
    const char* code;
    const char* says;
  };
  constexpr Case kCases[] = {
      {R"("num_experts": 8, "num_local_experts": 4)", "CFG_INCONSISTENT",
       "num_experts and num_local_experts must be the same, found 8 and 4"},
      {R"("num_experts": 4, "num_experts_per_tok": 5)", "CFG_INCONSISTENT",
       "num_experts_per_tok must be at most the number of experts, found 5 of 4"},
      {R"("num_experts": 0)", "CFG_RANGE", "num_experts"},
      {R"("num_experts": "8")", "CFG_TYPE", "num_experts"},
      {R"("mlp_only_layers": [24])", "CFG_INCONSISTENT",
       "mlp_only_layers must be a list of layers below num_hidden_layers=24, found [24]"},
      {R"("mlp_only_layers": 3)", "CFG_INCONSISTENT", "mlp_only_layers must be a list"},
      {R"("num_experts": 6000)", "CFG_OVERFLOW", "found 24 layers of 6000 experts"},
      {R"("moe_intermediate_size": 1000000)", "CFG_OVERFLOW", "experts of 1000000 channels"},
      {R"("use_sliding_window": true)", "CFG_UNSUPPORTED", "layers with a window and experts"},
  };
  for (const Case& c : kCases) {
    const std::string text = std::string(kQwenMoe) + ", " + c.more;
    const ErrorInfo info = expect_error<Error>(c.code, [&] { parsed("qwen2_moe", text); });
    EXPECT_TRUE(contains(info.message, c.says));
  }
}

TEST(Experts, NeedAKeyThatTheClassHasNoDefaultOf) {
  std::string text = kDeepSeekMoe;
  const std::string key = R"("num_experts_per_tok": 6, )";
  text.erase(text.find(key), key.size());
  const ErrorInfo info = expect_error("CFG_MISSING_KEY", [&] { parsed("deepseek", text); });
  EXPECT_TRUE(contains(info.message, R"(must hold "num_experts_per_tok")"));
}

TEST(Experts, HaveTensorsInTheirLayersAlone) {
  const TinyModelSpec spec{.model_type = "qwen2_moe", .extra_config = {{"mlp_only_layers", {0}}}};
  const ModelConfig config = parse_model_config(tiny_config(spec), "config.json");
  const auto shape_of = [&](const std::string& name) {
    for (const ExpectedTensor& tensor : expected_tensors(config)) {
      if (tensor.name == name) return tensor.shape;
    }
    return std::vector<int64_t>();
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape_of("model.layers.0.mlp.gate_proj.weight"), (Shape{48, 32}));
  EXPECT_EQ(shape_of("model.layers.0.mlp.gate.weight"), Shape());
  EXPECT_EQ(shape_of("model.layers.1.mlp.gate_proj.weight"), Shape());
  EXPECT_EQ(shape_of("model.layers.1.mlp.gate.weight"), (Shape{7, 32}));
  EXPECT_EQ(shape_of("model.layers.1.mlp.experts.6.up_proj.weight"), (Shape{22, 32}));
  EXPECT_EQ(shape_of("model.layers.1.mlp.experts.6.down_proj.weight"), (Shape{32, 22}));
  EXPECT_EQ(shape_of("model.layers.1.mlp.experts.7.down_proj.weight"), Shape());
  EXPECT_EQ(shape_of("model.layers.1.mlp.shared_expert.down_proj.weight"), (Shape{32, 26}));
  EXPECT_EQ(shape_of("model.layers.1.mlp.shared_expert_gate.weight"), (Shape{1, 32}));
  EXPECT_EQ(tensor_name(config, Role::kUp, 1), "");
  EXPECT_EQ(tensor_name(config, Role::kUp, 0), "model.layers.0.mlp.up_proj.weight");
  // gate, up and down: 7 experts of 22 channels, of which a token goes through 3, and 26 shared ones.
  EXPECT_EQ(mlp_channels(config, 1).all, 7 * 22 + 26);
  EXPECT_EQ(mlp_channels(config, 1).of_token, 3 * 22 + 26);
  EXPECT_EQ(mlp_weights(config).all, 3 * 32 * (48 + 7 * 22 + 26) + 8 * 32);
  EXPECT_EQ(mlp_weights(config).of_token, 3 * 32 * (48 + 3 * 22 + 26) + 8 * 32);
}

// Two tokens leave out of seven experts, of which each takes three, (4/7)^2 on average.
TEST(Experts, AreReadAsOftenAsTokensChooseThem) {
  const ModelConfig config =
      parse_model_config(tiny_config({.model_type = "mixtral"}), "config.json");
  const ExpertUse use = expert_use(config);
  const double all = static_cast<double>(count_parameters(config));
  const double experts = 2 * 7 * 3 * 32 * 48;
  EXPECT_DOUBLE_EQ(use.share, experts / all);
  EXPECT_NEAR(use.read(2), 1 - experts / all * 16.0 / 49.0, 1e-12);
  EXPECT_NEAR(use.read(1) * all, static_cast<double>(active_parameters(config)), 1e-6);
  EXPECT_NEAR(use.computed() * all, static_cast<double>(active_parameters(config)), 1e-6);
  EXPECT_DOUBLE_EQ(expert_use(parse_model_config(tiny_config({}), "config.json")).read(1), 1);
}

TEST(Experts, ThatAreMissingAreNamed) {
  const TemporaryFolder folder;
  const TinyModelSpec spec{.model_type = "olmoe", .n_layers = 2};
  std::vector<TensorData> tensors = tiny_tensors(spec);
  std::erase_if(tensors, [](const TensorData& tensor) {
    return tensor.spec.name == "model.layers.1.mlp.experts.4.up_proj.weight";
  });
  write_tiny_model(folder / "one less", spec);
  EXPECT_NO_THROW(ModelFolder::open(folder / "one less"));
  write_tensors(folder / "one less", tensors, 1);
  const ErrorInfo missing =
      expect_error("CFG_TENSOR_MISSING", [&] { ModelFolder::open(folder / "one less"); });
  EXPECT_TRUE(contains(missing.message, "model.layers.1.mlp.experts.4.up_proj.weight"));
  // The config says another number of them.
  TinyModelSpec fewer = spec;
  fewer.extra_config["num_experts"] = 5;
  write_tiny_model(folder / "fewer", fewer);
  write_tensors(folder / "fewer", tiny_tensors(spec), 1);
  const ErrorInfo wrong =
      expect_error("CFG_TENSOR_SHAPE", [&] { ModelFolder::open(folder / "fewer"); });
  EXPECT_TRUE(contains(wrong.message, "num_experts is 5, but the tensors have 7"));
}

}  // namespace
}  // namespace regroup::testing
