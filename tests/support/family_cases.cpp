#include "support/family_cases.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "regroup/checkpoint/family.h"

namespace regroup::testing {
namespace {

using Json = nlohmann::ordered_json;

Json long_rope(size_t planes) {
  Json short_factor = Json::array();
  Json long_factor = Json::array();
  for (size_t i = 0; i < planes; ++i) {
    short_factor.push_back(1 + 0.2 * static_cast<double>(i));
    long_factor.push_back(1 + 1.5 * static_cast<double>(i));
  }
  return {{"original_max_position_embeddings", 12},
          {"rope_scaling",
           {{"type", "longrope"}, {"short_factor", short_factor}, {"long_factor", long_factor}}}};
}

/// 6 of the 10 channels of a head.
Json part_turned() {
  Json config = long_rope(3);
  config["partial_rotary_factor"] = 0.6;
  return config;
}

TinyModelSpec sized(TinyModelSpec spec) {
  spec.n_layers = 3;
  spec.n_heads = 12;
  const bool shares = find_family(spec.model_type)->written_as.empty();
  if (spec.n_kv_heads > 1) spec.n_kv_heads = shares ? 6 : spec.n_heads;
  // The heads of some fill the hidden size; StableLM and Phi turn half of a head.
  constexpr auto kFills =
      std::to_array<std::string_view>({"phi3", "cohere2", "internlm", "internlm2", "falcon",
                                       "baichuan", "gpt_neox", "olmoe", "deepseek"});
  const bool fills = std::find(kFills.begin(), kFills.end(), spec.model_type) != kFills.end();
  const bool halved = spec.model_type == "stablelm" || spec.model_type == "phi";
  spec.head_dim = halved ? 8 : 10;
  spec.hidden_size = halved ? 96 : fills ? 120 : 36;
  return spec;
}

}  // namespace

bool FamilyCase::keeps_class() const { return find_family(spec.model_type)->written_as.empty(); }

std::vector<FamilyCase> family_cases() {
  std::vector<FamilyCase> cases = {
      {"Llama", {.model_type = "llama"}},
      {"Llama, biases", {.attention_bias = true, .mlp_bias = true}},
      {"Mistral, window", {.model_type = "mistral", .sliding_window = 5}},
      {"Qwen2, windows in later layers", {.model_type = "qwen2", .sliding_window = 5}},
      {"Qwen3", {.model_type = "qwen3"}},
      {"Qwen3, biases, tied",
       {.model_type = "qwen3", .tie_word_embeddings = true, .attention_bias = true}},
      {"Qwen3, windows in later layers", {.model_type = "qwen3", .sliding_window = 5}},
      {"Phi-3, window", {.model_type = "phi3", .sliding_window = 5}},
      {"Phi-3, longrope", {.model_type = "phi3", .extra_config = long_rope(5)}},
      {"Phi-4-mini: longrope on a part of a head, tied",
       {.model_type = "phi3", .tie_word_embeddings = true, .extra_config = part_turned()}},
      {"SmolLM3",
       {.model_type = "smollm3",
        .tie_word_embeddings = true,
        .attention_bias = true,
        .mlp_bias = true}},
      {"OLMo 2", {.model_type = "olmo2"}},
      {"OLMo 2, biases", {.model_type = "olmo2", .attention_bias = true}},
      {"Gemma", {.model_type = "gemma", .tie_word_embeddings = true, .attention_bias = true}},
      {"Granite",
       {.model_type = "granite",
        .tie_word_embeddings = true,
        .attention_bias = true,
        .mlp_bias = true}},
      {"StableLM", {.model_type = "stablelm", .attention_bias = true}},
      {"StableLM, parallel",
       {.model_type = "stablelm",
        .attention_bias = true,
        .extra_config = {{"use_parallel_residual", true}}}},
      {"StableLM, QK-norm",
       {.model_type = "stablelm",
        .extra_config = {{"use_parallel_residual", true}, {"qk_layernorm", true}}}},
      {"OLMo", {.model_type = "olmo"}},
      {"OLMo, clipped, biases",
       {.model_type = "olmo", .attention_bias = true, .extra_config = {{"clip_qkv", 0.7}}}},
      {"OLMo 3, yarn",
       {.model_type = "olmo3",
        .attention_bias = true,
        .extra_config = {{"layer_types",
                          {"sliding_attention", "full_attention", "sliding_attention"}},
                         {"rope_scaling",
                          {{"rope_type", "yarn"},
                           {"factor", 4.0},
                           {"original_max_position_embeddings", 32}}}}}},
      {"Gemma 2", {.model_type = "gemma2", .tie_word_embeddings = true, .attention_bias = true}},
      {"Gemma 3",
       {.model_type = "gemma3_text", .tie_word_embeddings = true, .attention_bias = true}},
      {"Cohere", {.model_type = "cohere", .tie_word_embeddings = true, .attention_bias = true}},
      {"Cohere, QK-norm", {.model_type = "cohere", .extra_config = {{"use_qk_norm", true}}}},
      {"Cohere 2: windows, RoPE in them alone", {.model_type = "cohere2"}},
      {"StarCoder2, biases",
       {.model_type = "starcoder2", .tie_word_embeddings = true, .attention_bias = true}},
      {"StarCoder2, exact GELU, window",
       {.model_type = "starcoder2", .sliding_window = 5, .extra_config = {{"hidden_act", "gelu"}}}},
      {"Phi", {.model_type = "phi"}},
      {"InternLM2", {.model_type = "internlm2"}},
      {"InternLM2, biases", {.model_type = "internlm2", .attention_bias = true}},
      {"Falcon", {.model_type = "falcon", .tie_word_embeddings = true}},
      {"Falcon, biases", {.model_type = "falcon", .attention_bias = true}},
      {"Falcon, one norm",
       {.model_type = "falcon",
        .tie_word_embeddings = true,
        .extra_config = {{"num_ln_in_parallel_attn", 1}}}},
      {"Baichuan", {.model_type = "baichuan"}},
      {"InternLM", {.model_type = "internlm"}},
      {"InternLM, biases, dynamic",
       {.model_type = "internlm",
        .max_positions = 32,
        .attention_bias = true,
        .extra_config = {{"rotary", {{"base", 5000}, {"type", "dynamic"}}}}}},
      {"GPT-NeoX", {.model_type = "gpt_neox"}},
      {"GPT-NeoX, biases",
       {.model_type = "gpt_neox",
        .attention_bias = true,
        .extra_config = {{"rotary_pct", 0.6}, {"hidden_act", "gelu_fast"}}}},
      {"GPT-NeoX, sequential",
       {.model_type = "gpt_neox",
        .attention_bias = true,
        .extra_config = {{"use_parallel_residual", false}, {"rotary_pct", 1.0}}}},
      {"Mixtral", {.model_type = "mixtral"}},
      {"Mixtral, window", {.model_type = "mixtral", .sliding_window = 5}},
      {"OLMoE", {.model_type = "olmoe"}},
      {"OLMoE, clipped, biases, weights that sum to 1",
       {.model_type = "olmoe",
        .attention_bias = true,
        .extra_config = {{"clip_qkv", 0.7}, {"norm_topk_prob", true}}}},
      {"DeepSeekMoE", {.model_type = "deepseek"}},
      {"DeepSeekMoE, biases, experts in every second layer",
       {.model_type = "deepseek",
        .attention_bias = true,
        .extra_config = {{"first_k_dense_replace", 0}, {"moe_layer_freq", 2}}}},
      {"Qwen2-MoE", {.model_type = "qwen2_moe", .attention_bias = true}},
      {"Qwen2-MoE, experts in every second layer, tied",
       {.model_type = "qwen2_moe",
        .tie_word_embeddings = true,
        .extra_config = {{"decoder_sparse_step", 2}, {"norm_topk_prob", true}}}},
      {"Qwen3-MoE", {.model_type = "qwen3_moe", .extra_config = {{"norm_topk_prob", true}}}},
      {"Qwen3-MoE, biases, a layer without experts",
       {.model_type = "qwen3_moe",
        .attention_bias = true,
        .extra_config = {{"mlp_only_layers", {1}}}}},
      {"Falcon, multi-query",
       {.model_type = "falcon",
        .n_kv_heads = 1,
        .tie_word_embeddings = true,
        .extra_config = {{"num_kv_heads", 12}}}},
  };
  for (FamilyCase& c : cases) c.spec = sized(c.spec);
  return cases;
}

}  // namespace regroup::testing
