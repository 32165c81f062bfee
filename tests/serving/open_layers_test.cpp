// Bytes of the KV cache of published models whose layers differ: windows, latent vectors, heads layer by layer.
#include <algorithm>
#include <string>
#include <vector>

#include "serving/published_models.h"

namespace regroup::testing {
namespace {

int64_t count_kind(const CacheLayout& layout, CacheKind kind) {
  return std::count_if(layout.layers.begin(), layout.layers.end(),
                       [&](const CacheLayer& layer) { return layer.kind == kind; });
}

TEST(OpenLayers, WindowsBoundSomeLayers) {
  const std::vector<PublishedModel> models{
      // 2 * 62 layers * 16 heads * 128 * 2 B = 507,904; 62 / 6 = 10 layers see all tokens:
      // (10 * 131,072 + 52 * 1,024) * 8,192 B a layer
      {"Gemma-3-27B",
       R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
           "num_hidden_layers": 62, "num_attention_heads": 32, "num_key_value_heads": 16,
           "head_dim": 128, "hidden_size": 5376, "sliding_window": 1024,
           "sliding_window_pattern": 6}, "vision_config": {"hidden_size": 1152}})",
       507'904, 131'072, 11'173'625'856},
      // The class has 8 heads, 4 key/value heads and head_dim 256: 2 * 34 layers * 4 * 256 * 2 B = 139,264;
      // (5 * 32,768 + 29 * 1,024) * 4,096 B a layer
      {"Gemma-3-4B",
       R"({"model_type": "gemma3", "text_config": {"model_type": "gemma3_text",
           "num_hidden_layers": 34, "hidden_size": 2560, "sliding_window": 1024}})",
       139'264, 32'768, 792'723'456},
      // 35 layers, of which the last 15 keep nothing: 2 * 20 * 2 heads * 256 * 2 B = 40,960;
      // (4 * 32,768 + 16 * 512) * 2,048 B a layer
      {"Gemma-3n-E4B",
       R"({"model_type": "gemma3n", "text_config": {"model_type": "gemma3n_text",
           "num_hidden_layers": 35, "num_attention_heads": 8, "num_key_value_heads": 2,
           "head_dim": 256, "hidden_size": 2048, "sliding_window": 512,
           "num_kv_shared_layers": 15}})",
       40'960, 32'768, 285'212'672},
      // 2 * 24 layers * 8 heads * 64 * 2 B = 49,152; (12 * 131,072 + 12 * 128) * 2,048 B a layer
      {"gpt-oss-20b",
       R"({"model_type": "gpt_oss", "num_hidden_layers": 24, "num_attention_heads": 64,
           "num_key_value_heads": 8, "head_dim": 64, "hidden_size": 2880, "sliding_window": 128,
           "layer_types": )" +
           layer_words(24, 2, 0, "sliding_attention", "full_attention") + "}",
       49'152, 131'072, 3'224'371'200},
      // 2 * 36 layers * 8 heads * 64 * 2 B = 73,728; (18 * 131,072 + 18 * 128) * 2,048 B a layer
      {"gpt-oss-120b",
       R"({"model_type": "gpt_oss", "num_hidden_layers": 36, "num_attention_heads": 64,
           "num_key_value_heads": 8, "head_dim": 64, "hidden_size": 2880,
           "sliding_window": 128})",
       73'728, 131'072, 4'836'556'800},
      // 2 * 48 layers * 8 heads * 128 * 2 B = 196,608; (12 * 131,072 + 36 * 8,192) * 4,096 B a layer
      {"Llama-4-Scout",
       R"({"model_type": "llama4", "text_config": {"model_type": "llama4_text",
           "num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8,
           "head_dim": 128, "hidden_size": 5120, "attention_chunk_size": 8192,
           "no_rope_layers": []}})",
       196'608, 131'072, 7'650'410'496},
      // 2 * 64 layers * 8 heads * 128 * 2 B = 262,144; (16 * 131,072 + 48 * 4,096) * 4,096 B a layer
      {"EXAONE-4.0-32B",
       R"({"model_type": "exaone4", "num_hidden_layers": 64, "num_attention_heads": 40,
           "num_key_value_heads": 8, "head_dim": 128, "hidden_size": 5120,
           "sliding_window": 4096, "sliding_window_pattern": "LLLG", "layer_types": )" +
           layer_words(64, 4, 3, "full_attention", "sliding_attention") + "}",
       262'144, 131'072, 9'395'240'960},
      // 2 * 32 layers * 8 heads * 128 * 2 B = 131,072; * 131,072 tokens, as many as its window
      {"Phi-3.5-MoE",
       R"({"model_type": "phimoe", "num_hidden_layers": 32, "num_attention_heads": 32,
           "num_key_value_heads": 8, "hidden_size": 4096, "sliding_window": 131072})",
       131'072, 262'144, 17'179'869'184},
  };
  expect_bytes(models);
}

TEST(OpenLayers, LatentVectorsDoNotDependOnHeads) {
  const std::vector<PublishedModel> models{
      // 60 layers * (512 + 64) * 2 B = 69,120; * 131,072 tokens
      {"DeepSeek-V2",
       R"({"model_type": "deepseek_v2", "num_hidden_layers": 60, "num_attention_heads": 128,
           "num_key_value_heads": 128, "hidden_size": 5120, "kv_lora_rank": 512,
           "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128})",
       69'120, 131'072, 9'059'696'640},
      // 61 layers * (512 + 64) * 2 B = 70,272; * 163,840 tokens
      {"DeepSeek-V3",
       R"({"model_type": "deepseek_v3", "num_hidden_layers": 61, "num_attention_heads": 128,
           "num_key_value_heads": 128, "hidden_size": 7168, "kv_lora_rank": 512,
           "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128})",
       70'272, 163'840, 11'513'364'480},
      // 61 layers * (512 + 64) * 2 B = 70,272; * 131,072 tokens
      {"Kimi-K2",
       R"({"model_type": "kimi_k2", "num_hidden_layers": 61, "num_attention_heads": 64,
           "num_key_value_heads": 64, "hidden_size": 7168, "kv_lora_rank": 512,
           "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128})",
       70'272, 131'072, 9'210'691'584},
      // 62 layers * (256 + 32) * 2 B = 35,712; * 32,768 tokens
      {"MiniCPM3-4B",
       R"({"model_type": "minicpm3", "num_hidden_layers": 62, "num_attention_heads": 40,
           "num_key_value_heads": 40, "hidden_size": 2560, "kv_lora_rank": 256,
           "qk_nope_head_dim": 64, "qk_rope_head_dim": 32})",
       35'712, 32'768, 1'170'210'816},
  };
  expect_bytes(models);
  const CacheLayout layout = layout_of(models[1].config);
  EXPECT_EQ(layout.n_kv_heads, 0);
  EXPECT_EQ(layout.n_heads, 128);
  EXPECT_EQ(layout.head_dim, 128 + 64);
  EXPECT_EQ(count_kind(layout, CacheKind::kLatent), 61);
}

TEST(OpenLayers, HeadsMayDifferFromLayerToLayer) {
  const std::vector<PublishedModel> models{
      // 2 * (5 * 3 + 7 * 4 + 4 * 5) heads * 64 * 2 B = 16,128; * 2,048 tokens
      {"OpenELM-270M",
       R"({"model_type": "openelm", "num_transformer_layers": 16, "model_dim": 1280,
           "head_dim": 64, "max_context_length": 2048,
           "num_query_heads": [12, 12, 12, 12, 12, 16, 16, 16, 16, 16, 16, 16, 20, 20, 20, 20],
           "num_kv_heads": [3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5]})",
       16'128, 2048, 33'030'144},
      // Cut to four of its 80 layers: 2 * (8 + 0 + 4 + 0) heads * 128 * 2 B = 6,144; * 8,192 tokens
      {"Llama-3.3-Nemotron-Super-49B",
       R"({"model_type": "nemotron-nas", "num_hidden_layers": 4, "num_attention_heads": 64,
           "num_key_value_heads": null, "hidden_size": 8192, "block_configs": [
           {"attention": {"n_heads_in_group": 8, "no_op": false, "replace_with_linear": false,
                          "window_length": null}},
           {"attention": {"n_heads_in_group": null, "no_op": true}},
           {"attention": {"n_heads_in_group": 16, "no_op": false}},
           {"attention": {"n_heads_in_group": null, "replace_with_linear": true}}]})",
       6'144, 8192, 50'331'648},
      // Cut to two of its 32 layers: 2 * (4 + 1) heads * 128 * 2 B = 2,560; * 8,192 tokens
      {"DeciLM-7B",
       R"({"model_type": "deci", "num_hidden_layers": 2, "num_attention_heads": 32,
           "hidden_size": 4096, "num_key_value_heads_per_layer": [4, 1]})",
       2'560, 8192, 20'971'520},
  };
  expect_bytes(models);
  EXPECT_EQ(layout_of(models[0].config).n_kv_heads, 5);
  EXPECT_EQ(layout_of(models[0].config).n_heads, 20);
  EXPECT_EQ(count_kind(layout_of(models[1].config), CacheKind::kNone), 2);
}

TEST(OpenLayers, KeysAndValuesOfAnEncoderAreLayersOfTheirOwn) {
  const CacheLayout t5 = layout_of(
      R"({"model_type": "t5", "num_layers": 24, "num_decoder_layers": 24, "num_heads": 16,
          "d_kv": 64, "d_model": 1024, "n_positions": 512})");
  EXPECT_EQ(count_kind(t5, CacheKind::kFull), 24);
  EXPECT_EQ(count_kind(t5, CacheKind::kCross), 24);
  EXPECT_EQ(t5.layers.back().elements_per_token(), 2 * 16 * 64);
  EXPECT_EQ(t5.max_positions, 0);
  const CacheLayout vision = layout_of(
      R"({"model_type": "mllama", "text_config": {"model_type": "mllama_text_model",
          "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8,
          "hidden_size": 4096, "cross_attention_layers": [3, 8, 13, 18, 23, 28, 33, 38]}})");
  EXPECT_EQ(count_kind(vision, CacheKind::kFull), 32);
  EXPECT_EQ(count_kind(vision, CacheKind::kCross), 8);
}

/// The first letter of each layer's kind.
std::string kinds(const std::string& config) {
  std::string letters;
  for (const CacheLayer& layer : layout_of(config).layers) letters += name_of(layer.kind)[0];
  return letters;
}

/// Four layers of a model type.
std::string four_layers(const std::string& type, const std::string& rest) {
  return R"({"model_type": ")" + type +
         R"(", "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 4,
            "hidden_size": 64, )" +
         rest + "}";
}

TEST(OpenLayers, EachClassHasItsRuleForWindows) {
  const std::string types = R"("layer_types": ["full_attention", "full_attention",
                                               "full_attention", "sliding_attention"])";
  EXPECT_EQ(kinds(four_layers("mixtral", R"("sliding_window": 8)")), "ssss");
  EXPECT_EQ(kinds(four_layers("mixtral", R"("sliding_window": null)")), "ffff");
  EXPECT_EQ(kinds(four_layers("ministral", R"("vocab_size": 8)")), "ssss");  // the class has 4,096
  EXPECT_EQ(kinds(four_layers("ministral", types)), "fffs");
  EXPECT_EQ(kinds(four_layers("gpt_oss", R"("vocab_size": 8)")), "sfsf");
  EXPECT_EQ(kinds(four_layers("gpt_oss", R"("sliding_window": null)")), "ffff");
  EXPECT_EQ(kinds(four_layers("exaone4", R"("sliding_window_pattern": 2)")), "sfsf");
  EXPECT_EQ(kinds(four_layers("gemma3_text", R"("vocab_size": 8, "intermediate_size": 64,
                                                "sliding_window_pattern": 3)")),
            "ssfs");
  const std::string later = R"("sliding_window": 8, "max_window_layers": 3)";
  EXPECT_EQ(kinds(four_layers("dots1", later)), "fffs");
  EXPECT_EQ(kinds(four_layers("qwen2_vl", later)), "ffff");
  EXPECT_EQ(kinds(four_layers("qwen2_vl", later + R"(, "use_sliding_window": true)")), "fffs");
  EXPECT_EQ(kinds(four_layers("qwen3_moe", later)), "ffff");
  EXPECT_EQ(kinds(four_layers("qwen3_moe", later + R"(, "use_sliding_window": true)")), "ssss");
  EXPECT_EQ(kinds(four_layers("qwen2_moe", types + R"(, "use_sliding_window": true)")), "fffs");
}

TEST(OpenLayers, ChunksBoundTheLayersThatTurn) {
  EXPECT_EQ(kinds(four_layers("llama4", R"("vocab_size": 8)")), "sssf");
  EXPECT_EQ(kinds(four_layers("llama4", R"("no_rope_layer_interval": 2)")), "sfsf");
  EXPECT_EQ(kinds(four_layers("llama4", R"("no_rope_layers": [1, 0, 0, 1])")), "sffs");
  EXPECT_EQ(kinds(four_layers("llama4", R"("attention_chunk_size": null)")), "ffff");
  EXPECT_EQ(kinds(four_layers("llama4", R"("layer_types": ["full_attention", "full_attention",
                                           "chunked_attention", "full_attention"])")),
            "ffsf");
  const std::string neo = R"({"model_type": "gpt_neo", "num_heads": 8, "hidden_size": 64, )";
  EXPECT_EQ(kinds(neo + R"("num_layers": 2, "attention_layers": ["local", "global"]})"), "sf");
  EXPECT_EQ(kinds(neo + R"("num_layers": 24})"), "fsfsfsfsfsfsfsfsfsfsfsfs");
}

TEST(OpenLayers, OtherKeysSayHowManyHeadsThereAre) {
  const auto n_kv_heads = [](const std::string& config) { return layout_of(config).n_kv_heads; };
  const std::string mpt = R"({"model_type": "mpt", "n_layers": 2, "n_heads": 8, "d_model": 64, )";
  EXPECT_EQ(n_kv_heads(mpt + R"("vocab_size": 8})"), 8);
  EXPECT_EQ(n_kv_heads(mpt + R"("attn_config": {"attn_type": "multiquery_attention"}})"), 1);
  EXPECT_EQ(n_kv_heads(mpt + R"("attn_config": {"attn_type": "grouped_query_attention",
                                                "kv_n_heads": 2}})"),
            2);
  EXPECT_EQ(n_kv_heads(R"({"model_type": "chatglm", "num_layers": 2, "num_attention_heads": 32,
                           "hidden_size": 4096})"),
            32);
  EXPECT_EQ(n_kv_heads(R"({"model_type": "gpt_bigcode", "n_layer": 2, "n_head": 8, "n_embd": 64,
                           "multi_query": false})"),
            8);
  EXPECT_EQ(n_kv_heads(R"({"model_type": "dbrx", "n_layers": 2, "n_heads": 8, "d_model": 64})"), 1);
  // Absent it is the class's default; null is as many as query heads.
  const std::string glm = R"({"model_type": "glm", "num_hidden_layers": 2, "hidden_size": 64,
                              "num_attention_heads": 8)";
  EXPECT_EQ(n_kv_heads(glm + "}"), 2);
  EXPECT_EQ(n_kv_heads(glm + R"(, "num_key_value_heads": null})"), 8);
  EXPECT_EQ(layout_of(glm + "}").head_dim, 128);
  EXPECT_EQ(layout_of(glm + R"(, "head_dim": null})").head_dim, 8);
}

TEST(OpenLayers, TheRestOfTheFileIsReadToo) {
  const CacheLayout layout = layout_of(
      R"({"model_type": "chatglm", "architectures": ["ChatGLMModel"], "num_layers": 2,
          "num_attention_heads": 32, "hidden_size": 4096, "vocab_size": 64794,
          "padded_vocab_size": 65024, "seq_length": 8192})");
  EXPECT_EQ(layout.model_type, "chatglm");
  EXPECT_EQ(layout.architecture, "ChatGLMModel");
  EXPECT_EQ(layout.hidden_size, 4096);
  EXPECT_EQ(layout.vocab_size, 65024);
  EXPECT_EQ(layout.max_positions, 8192);
  EXPECT_FALSE(layout.config.has_value());
  // The class's default; and what nothing bounds.
  EXPECT_EQ(layout_of(four_layers("olmoe", R"("vocab_size": 8)")).max_positions, 4096);
  EXPECT_EQ(layout_of(R"({"model_type": "mamba", "num_hidden_layers": 2, "hidden_size": 64})")
                .max_positions,
            0);
}

}  // namespace
}  // namespace regroup::testing
