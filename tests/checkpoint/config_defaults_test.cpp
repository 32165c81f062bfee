// A key that config.json lacks means what transformers' class takes for it, family by family.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "oracles/oracle.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

/// A config of the sizes that must be there, and `more`.
Json bare(const std::string& family, const Json& more = Json::object()) {
  Json config = {{"model_type", family},
                 {"architectures", Json::array({find_family(family)->architecture})},
                 {"vocab_size", 512},
                 {"hidden_size", 512},
                 {std::string(find_family(family)->keys.intermediate), 96},
                 {"num_hidden_layers", 32},
                 {"num_attention_heads", 32}};
  config.update(more);
  return config;
}

/// How many, of a token, their widths, whether their weights sum to 1, and the layers that have them.
Json experts_of(const ModelConfig& c) {
  if (c.experts.count == 0) return {};
  const Experts& e = c.experts;
  return {e.count,      e.per_token,    e.intermediate_size, e.shared_intermediate_size,
          e.sum_to_one, c.expert_layers};
}

/// The same in both programs' terms: what `oracles/config_defaults.py` prints.
Json described(const ModelConfig& c) {
  return {{"n_kv_heads", c.n_kv_heads},
          {"head_dim", c.head_dim},
          {"intermediate_size", c.intermediate_size},
          {"max_positions", c.max_positions},
          {"norm_eps", c.norm_eps},
          {"rope_theta", c.rope.theta},
          {"rope_type", c.rope.kind == RopeKind::kDefault ? "default" : "scaled"},
          {"partial_rotary_factor",
           static_cast<double>(c.rotary_dim) / static_cast<double>(c.head_dim)},
          {"initializer_range", c.initializer_range},
          {"sliding_theta", c.sliding_rope.value_or(c.rope).theta},
          {"hidden_act", c.family->activations.front().name},
          {"turned_layers", c.turned_layers},
          {"parallel", c.parallel},
          {"clip", c.clip_qkv ? Json(*c.clip_qkv) : Json()},
          {"scores_cap", c.caps.scores},
          {"logits_cap", c.caps.logits},
          {"embedding", c.multipliers.embedding},
          {"residual", c.multipliers.residual},
          {"scores", c.multipliers.attention},
          {"logits", c.multipliers.logits},
          {"tie_word_embeddings", c.tie_word_embeddings},
          {"qkv_bias", c.qkv_bias},
          {"mlp_bias", c.mlp_bias},
          {"experts", experts_of(c)},
          {"sliding_window", c.sliding_window ? Json(*c.sliding_window) : Json()},
          {"sliding_layers", c.sliding_layers},
          {"bos_token_id", c.bos_token_id ? Json(*c.bos_token_id) : Json()},
          {"eos_token_id", c.eos_token_ids.empty() ? Json() : Json(c.eos_token_ids.front())}};
}

const std::vector<Json>& configs() {
  static const std::vector<Json> kConfigs = {
      bare("llama"),
      bare("mistral"),
      bare("qwen2"),
      bare("stablelm"),
      bare("qwen3"),
      bare("qwen3", {{"use_sliding_window", true}, {"max_window_layers", 3}}),
      bare("phi3", {{"vocab_size", 32064}}),
      bare("smollm3", {{"vocab_size", 128256}}),
      bare("olmo2", {{"vocab_size", 100352}}),
      bare("mixtral"),
      bare("mixtral", {{"sliding_window", 64}}),
      bare("olmoe", {{"vocab_size", 50304}}),
      bare("olmoe", {{"vocab_size", 50304},
                     {"norm_topk_prob", true},
                     {"num_experts", 16},
                     {"clip_qkv", 8.0}}),
      bare("qwen2_moe"),
      bare("qwen2_moe", {{"mlp_only_layers", {0, 31}}, {"decoder_sparse_step", 2}}),
      bare("qwen3_moe"),
      bare("qwen3_moe", {{"num_local_experts", 12}, {"num_experts_per_tok", 3}}),
      bare("gemma"),
      bare("gemma", {{"hidden_act", "gelu"}}),
      bare("gemma2"),
      bare("gemma2", {{"final_logit_softcapping", nullptr}, {"query_pre_attn_scalar", 144}}),
      bare("gemma3_text", {{"vocab_size", 262144}}),
      bare("gemma3_text", {{"rope_theta", 2e6}, {"rope_local_base_freq", 3e4}}),
      bare("gemma3_text", {{"sliding_window_pattern", 3}, {"sliding_window", 512}}),
      bare("gemma3_text",
           {{"rope_parameters",
             {{"full_attention", {{"rope_type", "linear"}, {"factor", 8.0}, {"rope_theta", 1e6}}},
              {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 2e4}}}}}}),
      bare("olmo", {{"vocab_size", 50304}}),
      bare("olmo", {{"clip_qkv", 8.0}, {"vocab_size", 300000}}),
      bare("olmo3", {{"vocab_size", 100278}}),
      bare("olmo3", {{"rope_theta", 5e5}, {"vocab_size", 300000}}),
      bare("cohere", {{"vocab_size", 256000}}),
      bare("cohere2", {{"vocab_size", 256000}}),
      bare("cohere2",
           {{"sliding_window_pattern", 2}, {"logit_scale", 0.25}, {"vocab_size", 300000}}),
      bare("starcoder2", {{"vocab_size", 50300}}),
      bare("starcoder2", {{"use_bias", false}, {"sliding_window", 4096}, {"vocab_size", 300000}}),
      bare("falcon"),
      bare("falcon", {{"new_decoder_architecture", true}, {"bias", true}, {"rope_theta", 5e4}}),
      bare("falcon", {{"new_decoder_architecture", true}, {"num_kv_heads", 8}}),
      bare("falcon", {{"ffn_hidden_size", 96}, {"tie_word_embeddings", false}}),
      bare("phi"),
      bare("phi", {{"partial_rotary_factor", 0.25}}),
      bare("stablelm", {{"use_parallel_residual", true}}),
      bare("granite"),
      bare("granite", {{"attention_bias", true}, {"mlp_bias", true}}),
      bare("mistral", {{"sliding_window", nullptr}}),
      bare("mistral", {{"sliding_window", 64}}),
      bare("qwen2", {{"use_sliding_window", true}}),
      bare("qwen2", {{"use_sliding_window", true}, {"sliding_window", nullptr}}),
      bare("qwen2", {{"use_sliding_window", true}, {"max_window_layers", 3}}),
      bare("qwen2", {{"sliding_window", 64}, {"num_key_value_heads", nullptr}}),
      bare("llama", {{"bos_token_id", nullptr}, {"eos_token_id", nullptr}}),
      bare("llama", {{"head_dim", nullptr}, {"attention_bias", true}, {"mlp_bias", true}}),
      bare("stablelm", {{"use_qkv_bias", true}, {"partial_rotary_factor", 0.5}}),
  };
  return kConfigs;
}

// As read off the classes of transformers 5.23.
TEST(ConfigDefaults, OfEachFamily) {
  const auto read = [](const char* family) {
    return parse_model_config(bare(family).dump(), "config.json");
  };
  EXPECT_EQ(read("llama").max_positions, 2048);
  EXPECT_EQ(read("mistral").max_positions, 131072);
  EXPECT_EQ(read("qwen2").max_positions, 32768);
  EXPECT_EQ(read("stablelm").max_positions, 4096);
  EXPECT_EQ(read("llama").n_kv_heads, 32);
  EXPECT_EQ(read("mistral").n_kv_heads, 8);
  EXPECT_EQ(read("mistral").sliding_window, 4096);
  EXPECT_EQ(read("mistral").sliding_layers, std::vector<bool>(32, true));
  EXPECT_FALSE(read("llama").sliding_window || read("qwen2").sliding_window);
  EXPECT_EQ(read("stablelm").norm_eps, 1e-5);
  EXPECT_EQ(read("llama").norm_eps, 1e-6);
  EXPECT_EQ(read("mistral").eos_token_ids, std::vector<int64_t>{2});
  EXPECT_TRUE(read("qwen2").eos_token_ids.empty());
  EXPECT_EQ(read("stablelm").bos_token_id, 0);
}

TEST(ConfigDefaults, ATokenBeyondTheVocabularyIsNoDefault) {
  const ModelConfig tiny = parse_model_config(bare("llama", {{"vocab_size", 2}}).dump(), "c");
  EXPECT_EQ(tiny.bos_token_id, 1);
  EXPECT_TRUE(tiny.eos_token_ids.empty());
}

TEST(ConfigDefaults, AreThoseOfTransformers) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  Json folders = Json::array();
  for (size_t i = 0; i < configs().size(); ++i) {
    const std::string folder = temporary / std::to_string(i);
    std::filesystem::create_directory(folder);
    write_file(folder + "/config.json", configs()[i].dump());
    folders.push_back(folder);
  }
  const Json theirs = ask_oracle("config_defaults.py", temporary, folders);
  ASSERT_EQ(theirs.size(), configs().size());
  for (size_t i = 0; i < configs().size(); ++i) {
    const Json ours = described(parse_model_config(configs()[i].dump(), "config.json"));
    for (const auto& [key, value] : ours.items()) {
      EXPECT_EQ(value, theirs[i].value(key, Json())) << key << " of " << configs()[i].dump();
    }
    EXPECT_EQ(ours.size(), theirs[i].size()) << configs()[i].dump();
  }
}

int64_t longest(const char* rope, int64_t max_positions) {
  Json config = bare("llama", {{"max_position_embeddings", max_positions}});
  config["rope_scaling"] = Json::parse(rope);
  return longest_context(parse_model_config(config.dump(), "config.json"));
}

// vLLM (config/model.py, _get_and_verify_max_len): linear and dynamic lengthen max_position_embeddings, yarn
// what it was before; llama3 says how long the model has become.
TEST(LongestContext, CountsRopeScaling) {
  EXPECT_EQ(longest("null", 4096), 4096);
  EXPECT_EQ(longest(R"({"type": "linear", "factor": 4.0})", 4096), 16384);
  EXPECT_EQ(longest(R"({"rope_type": "dynamic", "factor": 2.5})", 4096), 10240);
  EXPECT_EQ(
      longest(R"({"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768})", 32768),
      131072);
  EXPECT_EQ(longest(R"({"type": "yarn", "factor": 4, "original_max_position_embeddings": 32768})",
                    131072),
            131072);
  EXPECT_EQ(longest(R"({"type": "yarn", "factor": 4})", 32768), 131072);
  EXPECT_EQ(longest(R"({"type": "yarn", "factor": null, "original_max_position_embeddings": 4096})",
                    16384),
            16384);
  EXPECT_EQ(
      longest(R"({"rope_type": "llama3", "factor": 8, "low_freq_factor": 1, "high_freq_factor": 4,
                        "original_max_position_embeddings": 8192})",
              131072),
      131072);
  EXPECT_EQ(longest(R"({"type": "linear", "factor": 0.5})", 4096), 4096);
  EXPECT_EQ(longest(R"({"type": "linear", "factor": 1e300})", 4096), int64_t{1} << 30);
}

}  // namespace
}  // namespace regroup::testing
