// Bytes of the caches of published models with states, each worked out by hand from its config.json.
#include <string>
#include <vector>

#include "serving/published_models.h"

namespace regroup::testing {
namespace {

TEST(OpenStates, StatesDoNotGrow) {
  const std::vector<PublishedModel> models{
      // 64 layers * 5,120 channels * (16 states + 4 convolved) * 2 B
      {"Mamba-2.8B",
       R"({"model_type": "mamba", "num_hidden_layers": 64, "hidden_size": 2560, "expand": 2,
           "intermediate_size": 5120, "state_size": 16, "conv_kernel": 4})",
       0, 100'000, 13'107'200},
      // 64 layers * 8,192 channels * (16 + 4) * 2 B; `expand` does not count
      {"Falcon-Mamba-7B",
       R"({"model_type": "falcon_mamba", "num_hidden_layers": 64, "hidden_size": 4096,
           "expand": 16, "intermediate_size": 8192, "state_size": 16, "conv_kernel": 4})",
       0, 100'000, 20'971'520},
      // 64 layers * ((8,192 + 2 * 8 * 128) * 4 + 8,192 * 128) * 2 B
      {"Mamba-Codestral-7B",
       R"({"model_type": "mamba2", "num_hidden_layers": 64, "hidden_size": 4096, "expand": 2,
           "num_heads": 128, "head_dim": 64, "n_groups": 8, "state_size": 128,
           "conv_kernel": 4})",
       0, 100'000, 139'460'608},
  };
  expect_bytes(models);
  EXPECT_EQ(layout_of(models[0].config).n_heads, 0);
  EXPECT_EQ(layout_of(models[0].config).n_kv_heads, 0);
}

TEST(OpenStates, AttentionLayersGrowBesideStates) {
  const std::vector<PublishedModel> models{
      // Layers 4, 12, 20, 28: 2 * 4 * 8 heads * 128 * 2 B = 16,384; * 262,144 tokens
      // + 28 layers * 8,192 * (16 + 4) * 2 B
      {"Jamba-v0.1",
       R"({"model_type": "jamba", "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 4096, "attn_layer_period": 8,
           "attn_layer_offset": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2})",
       16'384, 262'144, 4'304'142'336},
      // Every 4th of 48: 2 * 12 * 2 heads * 256 * 2 B = 24,576; * 262,144 tokens
      // + 36 layers * ((2 * 16 * 128 + 32 * 128) * 4 + 32 * 128 * 128) * 2 B
      {"Qwen3-Next-80B-A3B",
       R"({"model_type": "qwen3_next", "num_hidden_layers": 48, "num_attention_heads": 16,
           "num_key_value_heads": 2, "head_dim": 256, "hidden_size": 2048,
           "full_attention_interval": 4, "linear_conv_kernel_dim": 4, "linear_key_head_dim": 128,
           "linear_num_key_heads": 16, "linear_num_value_heads": 32,
           "linear_value_head_dim": 128})",
       24'576, 262'144, 6'482'558'976},
      // Both in each layer: 2 * 44 * 2 heads * 128 * 2 B = 45,056; * 262,144 tokens
      // + 44 layers * ((3,072 + 2 * 256) * 4 + 3,072 * 256) * 2 B
      {"Falcon-H1-7B",
       R"({"model_type": "falcon_h1", "num_hidden_layers": 44, "num_attention_heads": 12,
           "num_key_value_heads": 2, "head_dim": 128, "hidden_size": 3072, "mamba_d_ssm": 3072,
           "mamba_d_state": 256, "mamba_n_heads": 24, "mamba_d_head": 128, "mamba_n_groups": 1,
           "mamba_d_conv": 4, "mamba_expand": 2})",
       45'056, 262'144, 11'881'627'648},
      // 4 stars: 2 * 4 * 8 heads * 128 * 2 B = 16,384; * 131,072 tokens
      // + 21 M * ((7,680 + 2 * 8 * 128) * 4 + 7,680 * 128) * 2 B
      {"Nemotron-3-Nano-4B",
       R"({"model_type": "nemotron_h", "num_hidden_layers": 42, "num_attention_heads": 40,
           "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 3136,
           "hybrid_override_pattern": "M-M-M-MM-M-M*-M-M*-M-M-M*-M-M-MM*-MMM-M-M-",
           "mamba_num_heads": 96, "mamba_head_dim": 80, "n_groups": 8, "ssm_state_size": 128,
           "conv_kernel": 4})",
       16'384, 131'072, 2'190'405'632},
      // 6 of 16 layers: 2 * 6 * 8 heads * 64 * 2 B = 12,288; * 32,768 tokens + 10 * 2,048 * 3 * 2 B
      {"LFM2-1.2B",
       R"({"model_type": "lfm2", "num_hidden_layers": 16, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 2048, "conv_L_cache": 3,
           "full_attn_idxs": [2, 5, 8, 10, 12, 14]})",
       12'288, 32'768, 402'776'064},
      // Layers 2, 5, ... 23: 2 * 8 * 1 head * 256 * 2 B = 8,192; * min(8,192, 2,048) tokens
      // + 18 layers * 2,560 * (1 + 3) * 2 B
      {"RecurrentGemma-2B",
       R"({"model_type": "recurrent_gemma", "num_hidden_layers": 26, "num_attention_heads": 10,
           "num_key_value_heads": 1, "head_dim": 256, "hidden_size": 2560, "lru_width": 2560,
           "attention_window_size": 2048, "conv1d_width": 4,
           "_block_types": ["recurrent", "recurrent", "attention"]})",
       8'192, 8192, 17'145'856},
      // 4 of 40 layers: 2 * 4 * 4 heads * 128 * 2 B = 8,192; * 131,072 tokens
      // + 36 layers * ((3,072 + 2 * 128) * 4 + 3,072 * 128) * 2 B
      {"Granite-4.0-H-Tiny",
       R"({"model_type": "granitemoehybrid", "num_hidden_layers": 40, "num_attention_heads": 12,
           "num_key_value_heads": 4, "hidden_size": 1536, "mamba_n_heads": 48,
           "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4,
           "mamba_expand": 2, "layer_types": )" +
           layer_words(40, 10, 5, "attention", "mamba") + "}",
       8'192, 131'072, 1'103'011'840},
      // 3 of 32 layers: 2 * 3 * 8 heads * 128 * 2 B = 12,288; * 4,096 tokens
      // + 29 layers * ((8,192 + 2 * 128) * 4 + 8,192 * 128) * 2 B
      {"Bamba-9B",
       R"({"model_type": "bamba", "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 4096, "attn_layer_indices": [9, 18, 27],
           "mamba_n_heads": 128, "mamba_d_head": "auto", "mamba_d_state": 128,
           "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_expand": 2})",
       12'288, 4096, 113'108'992},
      // Every 8th of 80: 2 * 10 * 8 heads * 128 * 2 B = 40,960; * 1,000,000 tokens
      // + 70 layers * 64 heads * 128 * 128 * 2 B
      {"MiniMax-Text-01",
       R"({"model_type": "minimax", "num_hidden_layers": 80, "num_attention_heads": 64,
           "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 6144, "layer_types": )" +
           layer_words(80, 8, 7, "full_attention", "linear_attention") + "}",
       40'960, 1'000'000, 41'106'800'640},
      // One layer of two, cut from 54: 2 * 32 heads * (2 * 2,560 / 32) * 2 B = 20,480; * 4,096 tokens
      // + 2 layers * ((5,120 + 2 * 64) * 4 + 5,120 * 64) * 2 B
      {"Zamba2-2.7B",
       R"({"model_type": "zamba2", "num_hidden_layers": 2, "num_attention_heads": 32,
           "num_key_value_heads": 32, "hidden_size": 2560, "mamba_d_state": 64,
           "mamba_d_conv": 4, "mamba_expand": 2, "mamba_ngroups": 1, "n_mamba_heads": 80,
           "layers_block_type": ["mamba", "hybrid"]})",
       20'480, 4096, 85'280'768},
  };
  expect_bytes(models);
}

TEST(OpenStates, ALayerMayHaveBoth) {
  const CacheLayout layout = layout_of(
      R"({"model_type": "falcon_h1", "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "head_dim": 8, "hidden_size": 32, "mamba_d_ssm": 16,
          "mamba_d_state": 4, "mamba_n_heads": 2, "mamba_d_head": 8})");
  EXPECT_EQ(layout.layers[1].kind, CacheKind::kFull);
  EXPECT_EQ(layout.layers[1].elements_per_token(), 2 * 2 * 8);
  EXPECT_EQ(layout.layers[1].state_elements, (16 + 2 * 4) * 4 + 16 * 4);
}

TEST(OpenStates, ListsMayNameTheLayers) {
  const auto second_kind = [](const std::string& type, const std::string& rest) {
    return layout_of(R"({"model_type": ")" + type +
                     R"(", "num_attention_heads": 8, "num_key_value_heads": 2, "hidden_size": 64,
                        "num_hidden_layers": 2, )" +
                     rest + "}")
        .layers[1]
        .kind;
  };
  const std::string list = R"(["linear_attention", "full_attention"])";
  EXPECT_EQ(second_kind("nemotron_h", R"("layers_block_type": ["mamba", "attention"])"),
            CacheKind::kFull);
  EXPECT_EQ(second_kind("nemotron_h", R"("layers_block_type": ["mamba", "moe"])"),
            CacheKind::kNone);
  EXPECT_EQ(second_kind("qwen3_next", R"("layer_types": )" + list), CacheKind::kFull);
  EXPECT_EQ(second_kind("qwen3_next", R"("vocab_size": 8)"), CacheKind::kLinear);
  EXPECT_EQ(second_kind("lfm2", R"("layer_types": ["full_attention", "conv"])"),
            CacheKind::kLinear);
  EXPECT_EQ(second_kind("minimax", R"("vocab_size": 8)"), CacheKind::kLinear);
  EXPECT_EQ(second_kind("granitemoehybrid", R"("vocab_size": 8)"), CacheKind::kLinear);
  EXPECT_EQ(second_kind("recurrent_gemma", R"("block_types": ["recurrent", "attention"])"),
            CacheKind::kSliding);
}

}  // namespace
}  // namespace regroup::testing
