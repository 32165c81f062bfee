// The table of tensors against published sizes and names.
#include "regroup/checkpoint/family.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "regroup/checkpoint/config.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

ModelConfig llama2_7b(int64_t n_kv_heads) {
  return parse_model_config(tiny_config({.n_layers = 32,
                                         .n_heads = 32,
                                         .n_kv_heads = n_kv_heads,
                                         .head_dim = 128,
                                         .hidden_size = 4096,
                                         .intermediate_size = 11008,
                                         .vocab_size = 32000}),
                            "config.json");
}

ModelConfig config_of(const TinyModelSpec& spec) {
  return parse_model_config(tiny_config(spec), "config.json");
}

std::vector<std::string> names_of(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const ExpectedTensor& tensor : expected_tensors(config)) names.push_back(tensor.name);
  return names;
}

// Embedding and head 2 * 32000 * 4096 = 262144000; a layer 4 * 4096 * 4096 + 3 * 4096 * 11008 + 2 *
// 4096 = 202383360, times 32 = 6476267520; the last norm 4096. Sum: 6738415616, the published size.
TEST(Parameters, TheTableAddsUpToLlama2) {
  EXPECT_EQ(count_parameters(llama2_7b(32)), 6'738'415'616);
}

// With 8 of 32 KV heads K and V each lose 24 * 128 = 3072 rows of 4096 in 32 layers: 805306368 less.
TEST(Parameters, EightKvHeadsDropThreeQuartersOfKAndV) {
  EXPECT_EQ(count_parameters(llama2_7b(8)), 6'738'415'616 - 2 * 32 * 3072 * 4096LL);
  EXPECT_EQ(count_parameters(llama2_7b(8)), 5'933'109'248);
}

/// What a published config.json says of sizes.
ModelConfig published(const std::string& family, const std::string& sizes) {
  return parse_model_config(
      R"({"model_type": ")" + std::string(family) + R"(", "architectures": [")" +
          std::string(find_family(family)->architecture) + "\"], " + sizes + "}",
      "config.json");
}

// stablelm-3b-4e1t: the number on its model card. Embedding and head 2 * 50304 * 2560, a layer 4 * 2560^2 +
// 3 * 2560 * 6912 + 4 * 2560 (two norms with biases), the last norm 2 * 2560.
TEST(Parameters, StableLm3B) {
  EXPECT_EQ(count_parameters(published(
                "stablelm", R"("hidden_size": 2560, "intermediate_size": 6912, "vocab_size": 50304,
      "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32)")),
            2'795'443'200);
}

// Qwen1.5-0.5B, tied: embedding 151936 * 1024, a layer 4 * 1024^2 + 3 * 1024 (q, k and v have biases) +
// 3 * 1024 * 2816 + 2 * 1024, the last norm 1024.
TEST(Parameters, Qwen15HalfB) {
  EXPECT_EQ(count_parameters(published(
                "qwen2", R"("hidden_size": 1024, "intermediate_size": 2816, "vocab_size": 151936,
      "num_hidden_layers": 24, "num_attention_heads": 16, "num_key_value_heads": 16,
      "tie_word_embeddings": true)")),
            463'987'712);
}

// Each as its config.json spells sizes and what is of no use here; the numbers are those of their model cards.
TEST(Parameters, OfPublishedModels) {
  struct Case {
    const char* name;
    const char* family;
    const char* sizes;
    int64_t parameters;
  };
  const Case cases[] = {
      // 151936 * 1024 + 28 * (1024 * (2 * 2048 + 2 * 1024 + 3 * 3072) + 2 * 1024 + 2 * 128) + 1024
      {"Qwen3-0.6B", "qwen3",
       R"("hidden_size": 1024, "intermediate_size": 3072, "vocab_size": 151936,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128,
        "attention_bias": false, "max_window_layers": 28, "use_sliding_window": false, "sliding_window": null,
        "rope_scaling": null, "rope_theta": 1000000, "tie_word_embeddings": true)",
       596'049'920},
      // 2 * 32064 * 3072 + 32 * (3072 * (9216 + 3072 + 3 * 8192) + 2 * 3072) + 3072
      {"Phi-3-mini-4k-instruct", "phi3", R"("hidden_size": 3072, "intermediate_size": 8192,
        "vocab_size": 32064, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "max_position_embeddings": 4096, "original_max_position_embeddings": 4096, "sliding_window": 2047,
        "rope_scaling": null, "rope_theta": 10000.0, "attention_bias": false, "resid_pdrop": 0.0,
        "bos_token_id": 1, "eos_token_id": 32000, "pad_token_id": 32000, "tie_word_embeddings": false)",
       3'821'079'552},
      // 200064 * 3072 + 32 * (3072 * (5120 + 3072 + 3 * 8192) + 2 * 3072) + 3072
      {"Phi-4-mini-instruct", "phi3", R"("hidden_size": 3072, "intermediate_size": 8192,
        "vocab_size": 200064, "num_hidden_layers": 32, "num_attention_heads": 24, "num_key_value_heads": 8,
        "partial_rotary_factor": 0.75, "max_position_embeddings": 131072,
        "original_max_position_embeddings": 4096, "sliding_window": 262144, "rope_theta": 10000.0,
        "full_attn_mod": 1, "interpolate_factor": 1, "mlp_bias": false, "lm_head_bias": false,
        "bos_token_id": 199999, "eos_token_id": 199999, "tie_word_embeddings": true)",
       3'836'021'760},
      // 128256 * 2048 + 36 * (2048 * (2 * 2048 + 2 * 512 + 3 * 11008) + 2 * 2048) + 2048
      {"SmolLM3-3B", "smollm3",
       R"("hidden_size": 2048, "intermediate_size": 11008, "vocab_size": 128256,
        "num_hidden_layers": 36, "num_attention_heads": 16, "num_key_value_heads": 4,
        "no_rope_layer_interval": 4, "max_window_layers": 28, "use_sliding_window": false,
        "sliding_window": null, "rope_scaling": null, "rope_theta": 5000000.0, "pretraining_tp": 2,
        "attention_bias": false, "mlp_bias": false, "eos_token_id": 128012, "pad_token_id": 128004)",
       3'075'098'624},
      // 2 * 100352 * 4096 + 32 * (4096 * (4 * 4096 + 3 * 11008) + 4 * 4096) + 4096
      {"OLMo-2-1124-7B", "olmo2",
       R"("hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 100352,
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 32,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 500000,
        "attention_bias": false, "eos_token_id": 100257, "pad_token_id": 100277,
        "tie_word_embeddings": false)",
       7'298'617'344},
      // 256000 * 3072 + 28 * (3072 * (4 * 4096 + 3 * 24576) + 2 * 3072) + 3072
      {"gemma-7b", "gemma",
       R"("hidden_size": 3072, "intermediate_size": 24576, "vocab_size": 256000,
        "num_hidden_layers": 28, "num_attention_heads": 16, "num_key_value_heads": 16, "head_dim": 256,
        "hidden_act": "gelu", "hidden_activation": null, "attention_bias": false, "rope_scaling": null,
        "rope_theta": 10000.0, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0)",
       8'537'680'896},
      // 49155 * 2048 + 40 * (2048 * (2 * 2048 + 2 * 512 + 3 * 8192) + 2 * 2048) + 2048
      {"granite-3.1-2b-instruct", "granite", R"("hidden_size": 2048, "intermediate_size": 8192,
        "vocab_size": 49155, "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
        "attention_multiplier": 0.015625, "embedding_multiplier": 12.0, "logits_scaling": 8.0,
        "residual_multiplier": 0.22, "rope_scaling": null, "rope_theta": 5000000.0, "attention_bias": false,
        "mlp_bias": false, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": true)",
       2'533'531'648},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(count_parameters(published(c.family, c.sizes)), c.parameters) << c.name;
  }
  const ModelConfig granite = published("granite", cases[6].sizes);
  EXPECT_EQ(granite.multipliers.logits, 1.0 / 8);
  EXPECT_EQ(granite.multipliers.attention, 1.0 / 64);
  EXPECT_EQ(published("gemma", cases[5].sizes).multipliers.embedding, std::sqrt(3072.0));
  const ModelConfig smollm3 = published("smollm3", cases[3].sizes);
  EXPECT_TRUE(smollm3.turns(0) && !smollm3.turns(3) && smollm3.turns(34) && !smollm3.turns(35));
  EXPECT_EQ(published("phi3", cases[2].sizes).rotary_dim, 96);
}

TEST(Parameters, OfPublishedModelsWithFusedRows) {
  // 2 * 92544 * 4096 + 32 * (4096 * (2 * 4096 + 2 * 1024 + 3 * 14336) + 2 * 4096) + 4096
  EXPECT_EQ(count_parameters(published("internlm2", R"("hidden_size": 4096, "vocab_size": 92544,
      "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
      "num_key_value_heads": 8, "bias": false, "rope_theta": 1000000,
      "rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 32768)")),
            7'737'708'544);
  // Falcon-7B: 65024 * 4544 + 32 * (4544 * (2 * 4544 + 2 * 64 + 2 * 18176) + 2 * 4544) + 2 * 4544
  EXPECT_EQ(count_parameters(published("falcon", R"("hidden_size": 4544, "vocab_size": 65024,
      "num_hidden_layers": 32, "num_attention_heads": 71, "num_kv_heads": 71, "bias": false,
      "alibi": false, "multi_query": true, "new_decoder_architecture": false,
      "parallel_attn": true)")),
            6'921'720'704);
  // 40B: 65024 * 8192 + 60 * (8192 * (2 * 8192 + 2 * 512 + 2 * 32768) + 4 * 8192) + 2 * 8192
  EXPECT_EQ(count_parameters(published("falcon", R"("hidden_size": 8192, "vocab_size": 65024,
      "num_hidden_layers": 60, "num_attention_heads": 128, "num_kv_heads": 8, "bias": false,
      "alibi": false, "multi_query": true, "new_decoder_architecture": true,
      "parallel_attn": true)")),
            41'303'293'952);
  // 11B: 2 * 65024 * 4096 + 60 * (4096 * (2 * 4096 + 2 * 1024 + 2 * 16384) + 2 * 4096) + 2 * 4096
  EXPECT_EQ(count_parameters(published("falcon", R"("hidden_size": 4096, "vocab_size": 65024,
      "num_hidden_layers": 60, "num_attention_heads": 32, "num_kv_heads": 8, "bias": false,
      "alibi": false, "multi_query": true, "new_decoder_architecture": true, "parallel_attn": true,
      "ffn_hidden_size": 16384, "num_ln_in_parallel_attn": 1, "rope_theta": 500042.0,
      "tie_word_embeddings": false)")),
            11'102'822'400);
}

// With a LayerNorm of each head, whose gains are a matrix or one tensor a head.
TEST(Parameters, OfPublishedModelsWithGainsOfHeads) {
  // Command-R+: 256000 * 12288 + 64 * (12288 * (2 * 12288 + 2 * 1024 + 3 * 33792) + 12288 + (96 + 8) * 128) + 12288
  EXPECT_EQ(count_parameters(published("cohere", R"("hidden_size": 12288, "vocab_size": 256000,
      "intermediate_size": 33792, "num_hidden_layers": 64, "num_attention_heads": 96,
      "num_key_value_heads": 8, "logit_scale": 0.8333333333333334, "rope_theta": 75000000.0,
      "max_position_embeddings": 131072, "use_qk_norm": true)")),
            103'810'674'688);
  // StableLM-2-12B: 2 * 100352 * 5120 + 40 * (5120 * (2 * 5120 + 2 * 1280 + 3 * 13824) + 2 * 5120 + (32 + 8) * 160) +
  // 2 * 5120
  EXPECT_EQ(count_parameters(published("stablelm", R"("hidden_size": 5120, "vocab_size": 100352,
      "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 32,
      "num_key_value_heads": 8, "partial_rotary_factor": 0.25, "use_parallel_residual": true,
      "use_qkv_bias": false, "qk_layernorm": true)")),
            12'143'185'920);
}

// Per layer: biases q 32 + k 16 + v 16 + o 32 = 96, gate 48 + up 48 + down 32 = 128. Two layers: 448.
TEST(Parameters, BiasesCount) {
  const TinyModelSpec plain{.n_kv_heads = 2};
  TinyModelSpec biased = plain;
  biased.attention_bias = true;
  biased.mlp_bias = true;
  EXPECT_EQ(count_parameters(config_of(biased)) - count_parameters(config_of(plain)), 448);
}

TEST(Parameters, ATiedHeadCountsOnce) {
  const int64_t untied = count_parameters(config_of({}));
  EXPECT_EQ(untied - count_parameters(config_of({.tie_word_embeddings = true})), 64 * 32);
}

TEST(Names, AreThoseOfTransformers) {
  const std::vector<std::string> expected = {
      "model.embed_tokens.weight",
      "model.layers.0.input_layernorm.weight",
      "model.layers.0.self_attn.q_proj.weight",
      "model.layers.0.self_attn.k_proj.weight",
      "model.layers.0.self_attn.v_proj.weight",
      "model.layers.0.self_attn.o_proj.weight",
      "model.layers.0.post_attention_layernorm.weight",
      "model.layers.0.mlp.gate_proj.weight",
      "model.layers.0.mlp.up_proj.weight",
      "model.layers.0.mlp.down_proj.weight",
      "model.norm.weight",
      "lm_head.weight",
  };
  EXPECT_EQ(names_of(config_of({.n_layers = 1})), expected);
  const auto biased =
      names_of(config_of({.n_layers = 1, .attention_bias = true, .mlp_bias = true}));
  for (const char* name :
       {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias",
        "self_attn.o_proj.bias", "mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"}) {
    EXPECT_EQ(std::count(biased.begin(), biased.end(), "model.layers.0." + std::string(name)), 1)
        << name;
  }
  EXPECT_EQ(biased.size(), expected.size() + 7);
}

TEST(Names, AreThoseOfEveryFamily) {
  using Names = std::vector<std::string>;
  const auto in_layer = [](const TinyModelSpec& spec) {
    Names short_names;
    for (const std::string& name : names_of(config_of(spec))) {
      const std::string prefix = "model.layers.0.";
      if (name.starts_with(prefix)) short_names.push_back(name.substr(prefix.size()));
    }
    return short_names;
  };
  const auto has = [](const Names& names, const char* name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  const Names qwen2 = in_layer({.model_type = "qwen2"});
  EXPECT_EQ(qwen2.size(), 9u + 3);
  EXPECT_TRUE(has(qwen2, "self_attn.q_proj.bias") && has(qwen2, "self_attn.k_proj.bias") &&
              has(qwen2, "self_attn.v_proj.bias"));
  EXPECT_FALSE(has(qwen2, "self_attn.o_proj.bias"));
  const Names stablelm = in_layer({.model_type = "stablelm"});
  EXPECT_EQ(stablelm.size(), 9u + 2);
  EXPECT_TRUE(has(stablelm, "input_layernorm.bias") &&
              has(stablelm, "post_attention_layernorm.bias"));
  const Names biased = in_layer({.model_type = "stablelm", .attention_bias = true});
  EXPECT_EQ(biased.size(), 9u + 2 + 3);
  EXPECT_FALSE(has(biased, "self_attn.o_proj.bias"));
  EXPECT_EQ(tensor_name(config_of({.model_type = "stablelm"}), Role::kFinalNormBias),
            "model.norm.bias");
}

TEST(Names, AreFoundByRole) {
  const ModelConfig config = config_of({.n_layers = 12});
  EXPECT_EQ(tensor_name(config, Role::kKey, 11), "model.layers.11.self_attn.k_proj.weight");
  EXPECT_EQ(tensor_name(config, Role::kFinalNorm), "model.norm.weight");
  EXPECT_EQ(tensor_name(config, Role::kKeyBias, 0), "");
  EXPECT_EQ(tensor_name(config_of({.attention_bias = true}), Role::kKeyBias, 1),
            "model.layers.1.self_attn.k_proj.bias");
  EXPECT_EQ(tensor_name(config_of({.tie_word_embeddings = true}), Role::kLmHead), "");
}

/// The rows of `role` in layer 0.
std::vector<int64_t> rows_of(const ModelConfig& config, Role role) {
  const PartRows part = find_part(config, role, 0)->rows;
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < part.count; ++i) {
    rows.push_back(part.first + i / part.run * part.stride + i % part.run);
  }
  return rows;
}

// 6 query heads read 2 KV heads of 2 rows each: a group is 3 query heads, keys, values.
TEST(Parts, LieInBlocksOrGroups) {
  using Rows = std::vector<int64_t>;
  const TinyModelSpec spec{.n_heads = 6, .n_kv_heads = 2, .head_dim = 2, .hidden_size = 12};
  TinyModelSpec grouped = spec;
  grouped.model_type = "internlm2";
  const ModelConfig groups = config_of(grouped);
  EXPECT_EQ(rows_of(groups, Role::kQuery), (Rows{0, 1, 2, 3, 4, 5, 10, 11, 12, 13, 14, 15}));
  EXPECT_EQ(rows_of(groups, Role::kKey), (Rows{6, 7, 16, 17}));
  EXPECT_EQ(rows_of(groups, Role::kValue), (Rows{8, 9, 18, 19}));
  EXPECT_EQ(part_name(groups, Role::kValue, 1), "model.layers.1.attention.wqkv.weight:2");
  EXPECT_FALSE(find_part(groups, Role::kKeyBias, 0));
  TinyModelSpec blocked = spec;
  blocked.model_type = "phi3";
  const ModelConfig blocks = config_of(blocked);
  EXPECT_EQ(rows_of(blocks, Role::kQuery), (Rows{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  EXPECT_EQ(rows_of(blocks, Role::kKey), (Rows{12, 13, 14, 15}));
  EXPECT_EQ(rows_of(blocks, Role::kValue), (Rows{16, 17, 18, 19}));
  // As many KV heads as query heads: q, k, v of head 0, then of head 1 ...
  grouped.n_kv_heads = 6;
  EXPECT_EQ(rows_of(config_of(grouped), Role::kKey),
            (Rows{2, 3, 8, 9, 14, 15, 20, 21, 26, 27, 32, 33}));
  EXPECT_EQ(rows_of(config_of(spec), Role::kKey), (Rows{0, 1, 2, 3}));
}

// Rows of gains are channels, in one tensor or in one a head.
TEST(Parts, OfGainsOfHeadsAreChannels) {
  const TinyModelSpec spec{.n_heads = 6, .n_kv_heads = 2, .head_dim = 2, .hidden_size = 12};
  TinyModelSpec whole = spec;
  whole.model_type = "cohere";
  EXPECT_FALSE(find_part(config_of(whole), Role::kKeyNorm, 1));
  whole.extra_config = {{"use_qk_norm", true}};
  const PartPlace matrix = *find_part(config_of(whole), Role::kKeyNorm, 1);
  EXPECT_EQ(matrix.tensor_of(0), "model.layers.1.self_attn.k_norm.weight");
  EXPECT_EQ(rows_of(config_of(whole), Role::kKeyNorm), (std::vector<int64_t>{0, 1, 2, 3}));
  TinyModelSpec single = spec;
  single.model_type = "stablelm";
  single.extra_config = {{"partial_rotary_factor", 1.0}};
  EXPECT_FALSE(find_part(config_of(single), Role::kKeyNorm, 1));
  single.extra_config["qk_layernorm"] = true;
  const ModelConfig config = config_of(single);
  const PartPlace keys = *find_part(config, Role::kKeyNorm, 1);
  EXPECT_EQ(keys.heads,
            (std::vector<std::string>{"model.layers.1.self_attn.k_layernorm.norms.0.weight",
                                      "model.layers.1.self_attn.k_layernorm.norms.1.weight"}));
  EXPECT_EQ(keys.rows.n_runs(), 2);
  EXPECT_EQ(rows_of(config, Role::kKeyNorm), (std::vector<int64_t>{0, 1, 0, 1}));
  EXPECT_EQ(find_part(config, Role::kQueryNorm, 0)->heads.size(), 6U);
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    const bool gain = tensor.rule->role == Role::kKeyNorm || tensor.rule->role == Role::kQueryNorm;
    EXPECT_EQ(tensor.part >= 0, gain) << tensor.name;
    if (gain) {
      EXPECT_EQ(tensor.shape, (std::vector<int64_t>{2})) << tensor.name;
      EXPECT_EQ(tensor.is_kv(), tensor.rule->role == Role::kKeyNorm) << tensor.name;
    }
  }
}

TEST(Shapes, FollowFromTheConfig) {
  const ModelConfig config =
      config_of({.n_layers = 1, .n_heads = 4, .n_kv_heads = 2, .head_dim = 16, .hidden_size = 24});
  const auto shape_of = [&](Role role) {
    for (const ExpectedTensor& tensor : expected_tensors(config)) {
      if (tensor.rule->role == role) return tensor.shape;
    }
    return std::vector<int64_t>{};
  };
  using Shape = std::vector<int64_t>;
  EXPECT_EQ(shape_of(Role::kQuery), (Shape{64, 24}));  // 4 heads of 16 rows
  EXPECT_EQ(shape_of(Role::kKey), (Shape{32, 24}));    // 2 heads of 16 rows
  EXPECT_EQ(shape_of(Role::kValue), (Shape{32, 24}));
  EXPECT_EQ(shape_of(Role::kOutput), (Shape{24, 64}));
  EXPECT_EQ(shape_of(Role::kInputNorm), (Shape{24}));
  EXPECT_EQ(shape_of(Role::kGate), (Shape{48, 24}));
  EXPECT_EQ(shape_of(Role::kDown), (Shape{24, 48}));
  EXPECT_EQ(shape_of(Role::kEmbedding), (Shape{64, 24}));
}

TEST(Conversion, ChangesKAndVAndNothingElse) {
  for (const char* family : {"llama", "mistral", "qwen2", "stablelm"}) {
    SCOPED_TRACE(family);
    const bool biases = std::string(family) != "mistral";
    for (const ExpectedTensor& tensor :
         expected_tensors(config_of({.model_type = family, .attention_bias = biases}))) {
      const bool kv = tensor.name.find(".k_proj.") != std::string::npos ||
                      tensor.name.find(".v_proj.") != std::string::npos;
      EXPECT_EQ(tensor.is_kv(), kv) << tensor.name;
    }
  }
}

TEST(Families, AreFoundByTheirModelType) {
  ASSERT_NE(find_family("mistral"), nullptr);
  EXPECT_EQ(find_family("mistral")->architecture, "MistralForCausalLM");
  EXPECT_EQ(find_family("Llama"), nullptr);
  EXPECT_EQ(find_family(""), nullptr);
  for (const ModelFamily* family : model_families())
    EXPECT_EQ(find_family(family->model_type), family);
}

TEST(Families, IgnoreRotaryBuffersOnly) {
  const ModelFamily& llama = *find_family("llama");
  EXPECT_TRUE(is_ignored(llama, "model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(is_ignored(llama, "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_FALSE(is_ignored(llama, "inv_freq"));
}

}  // namespace
}  // namespace regroup::testing
