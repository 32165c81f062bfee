// What of a config.json is refused rather than guessed at: by code, and by the words that a user reads.
#include <string>
#include <vector>

#include "serving/published_models.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

struct BadModel {
  std::string code;
  std::string part;  ///< of the message
  std::string config;
};

/// Mixtral's keys, and what a case sets beside them.
std::string open_config(const std::string& type, const std::string& rest) {
  return R"({"model_type": ")" + type + R"(", "hidden_size": 4096)" +
         (rest.empty() ? "" : ", " + rest) + "}";
}

const std::string kSomeHeads = R"("num_hidden_layers": 4, "num_attention_heads": 32)";

TEST(OpenRefusals, BadValuesNameKeyAndValue) {
  const std::vector<BadModel> cases{
      {"CFG_MISSING_KEY", R"(must hold "num_hidden_layers")",
       open_config("mixtral", R"("num_attention_heads": 32)")},
      {"CFG_MISSING_KEY", R"(must hold "n_layer" or "num_hidden_layers")",
       R"({"model_type": "gpt2", "n_head": 12, "n_embd": 768})"},
      {"CFG_RANGE", R"("num_attention_heads" must be an integer from 1 to 1048576, found 0)",
       open_config("mixtral", R"("num_hidden_layers": 4, "num_attention_heads": 0)")},
      {"CFG_RANGE", R"("num_hidden_layers" must be an integer from 1 to 10000, found 1000000000)",
       open_config("mixtral", R"("num_hidden_layers": 1000000000, "num_attention_heads": 32)")},
      {"CFG_RANGE", R"("num_key_value_heads" must be an integer from 1)",
       open_config("mixtral", kSomeHeads + R"(, "num_key_value_heads": 0)")},
      {"CFG_TYPE", R"("num_key_value_heads" must be an integer)",
       open_config("mixtral", kSomeHeads + R"(, "num_key_value_heads": "8")")},
      {"CFG_INCONSISTENT", "multiple of the key/value heads, found 32 and 5",
       open_config("mixtral", kSomeHeads + R"(, "num_key_value_heads": 5)")},
      {"CFG_INCONSISTENT", "without a head size, the hidden size must be a multiple",
       open_config("opt", R"("num_hidden_layers": 4, "num_attention_heads": 30)")},
      {"CFG_INCONSISTENT", "n_layer and num_hidden_layers must be the same, found 4 and 5",
       R"({"model_type": "gpt2", "n_layer": 4, "num_hidden_layers": 5, "n_head": 12,
           "n_embd": 768})"},
      {"CFG_OVERFLOW", "query heads * head_dim must be at most 1048576",
       open_config("mixtral", kSomeHeads + R"(, "head_dim": 1048576)")},
      {"CFG_RANGE", R"("sliding_window" must be an integer from 1)",
       open_config("gpt_oss", kSomeHeads + R"(, "sliding_window": 0)")},
      {"CFG_RANGE", R"("sliding_window" must be an integer from 1)",
       open_config("mixtral", kSomeHeads + R"(, "sliding_window": -4096)")},
      {"CFG_INCONSISTENT", "layer_types must be a list of 4 words, one a layer, found 1",
       open_config("gpt_oss", kSomeHeads + R"(, "layer_types": ["full_attention"])")},
      {"CFG_INCONSISTENT", R"(layer_types[3] must be one of full_attention, sliding_attention)",
       open_config("gpt_oss", kSomeHeads + R"(, "layer_types": ["full_attention", "full_attention",
                                   "full_attention", "sparse_attention"])")},
      {"CFG_INCONSISTENT", "there is no window in use",
       open_config("gpt_oss",
                   kSomeHeads + R"(, "sliding_window": null, "layer_types": ["full_attention",
                                   "full_attention", "full_attention", "sliding_attention"])")},
      {"CFG_INCONSISTENT", "no_rope_layers must be a list of 4 integers from 0 to 1",
       open_config("llama4", kSomeHeads + R"(, "no_rope_layers": [1, 1, 1])")},
      {"CFG_INCONSISTENT", "attention_types must be a list of 24 words",
       R"({"model_type": "gpt_neo", "num_layers": 24, "num_heads": 16, "hidden_size": 2048,
           "attention_types": [[["global", "local"], 13]]})"},
      {"CFG_INCONSISTENT", "num_kv_shared_layers must be below the 4 layers, found 4",
       open_config("gemma3n", kSomeHeads + R"(, "num_kv_shared_layers": 4)")},
      {"CFG_INCONSISTENT", "num_kv_heads must be a list of 2 integers",
       R"({"model_type": "openelm", "num_transformer_layers": 2, "model_dim": 1280, "head_dim": 64,
           "num_query_heads": [12, 12], "num_kv_heads": [3]})"},
      {"CFG_INCONSISTENT", "the query heads of layer 1 must be a multiple",
       R"({"model_type": "openelm", "num_transformer_layers": 2, "model_dim": 1280, "head_dim": 64,
           "num_query_heads": [12, 12], "num_kv_heads": [3, 5]})"},
      {"CFG_INCONSISTENT", "block_configs must be a list of 4 objects",
       open_config("nemotron-nas", kSomeHeads + R"(, "block_configs": [])")},
      {"CFG_INCONSISTENT", R"(block_configs[0] must hold an object "attention")",
       open_config("nemotron-nas", R"("num_hidden_layers": 1, "num_attention_heads": 32,
                               "block_configs": [{"ffn": {}}])")},
      {"CFG_TYPE", R"("attn_config" must be an object)",
       R"({"model_type": "dbrx", "n_layers": 2, "n_heads": 8, "d_model": 64, "attn_config": 8})"},
      {"CFG_TYPE", R"("sliding_window_pattern" must be an integer)",
       open_config("exaone4", kSomeHeads + R"(, "sliding_window_pattern": "LLLG")")},
      {"CFG_MISSING_KEY", R"(must hold "hidden_size")", R"({"model_type": "gemma3"})"},
      {"CFG_MISSING_KEY", R"(must hold "cross_attention_layers")",
       open_config("mllama", kSomeHeads)},
  };
  for (const BadModel& bad : cases) {
    SCOPED_TRACE(bad.config);
    const ErrorInfo info = expect_error<CheckpointError>(bad.code, [&] { layout_of(bad.config); });
    EXPECT_TRUE(contains(info.message, bad.part));
  }
}

TEST(OpenRefusals, BadStatesNameKeyAndValue) {
  const std::vector<BadModel> cases{
      {"CFG_INCONSISTENT", "attn_layer_offset must be below attn_layer_period=8, found 8",
       open_config("jamba", kSomeHeads + R"(, "attn_layer_offset": 8)")},
      {"CFG_INCONSISTENT",
       "hybrid_override_pattern must name each of num_hidden_layers=4 layers, found 3",
       open_config("nemotron_h", kSomeHeads + R"(, "hybrid_override_pattern": "M*-")")},
      {"CFG_INCONSISTENT", "must have the letters M, *, - and E, found M*-X",
       open_config("nemotron_h", kSomeHeads + R"(, "hybrid_override_pattern": "M*-X")")},
      {"CFG_INCONSISTENT", "num_heads times the size of a head must be the inner width 8192",
       open_config("mamba2", R"("num_hidden_layers": 4, "num_heads": 100, "head_dim": 64)")},
      {"CFG_OVERFLOW", "the state of a layer must have at most",
       open_config("qwen3_next", kSomeHeads + R"(, "linear_key_head_dim": 1048576,
                                      "linear_value_head_dim": 1048576)")},
      {"CFG_INCONSISTENT", "layer_types[0] must be one of full_attention",
       open_config("lfm2", R"("num_hidden_layers": 1, "num_attention_heads": 32,
                       "layer_types": ["rwkv"])")},
      {"CFG_INCONSISTENT", "full_attn_idxs must be a list of integers from 0 to 3, found [4]",
       open_config("lfm2", kSomeHeads + R"(, "full_attn_idxs": [4])")},
      {"CFG_INCONSISTENT", "block_types[1] must be one of recurrent, attention",
       open_config("recurrent_gemma", kSomeHeads + R"(, "block_types": ["recurrent", "mlp"])")},
      {"CFG_RANGE", R"("attention_window_size" must be an integer from 1)",
       open_config("recurrent_gemma", kSomeHeads + R"(, "attention_window_size": 0)")},
      {"CFG_MISSING_KEY", R"(must hold "layers_block_type")", open_config("zamba2", kSomeHeads)},
  };
  for (const BadModel& bad : cases) {
    SCOPED_TRACE(bad.config);
    const ErrorInfo info = expect_error<CheckpointError>(bad.code, [&] { layout_of(bad.config); });
    EXPECT_TRUE(contains(info.message, bad.part));
  }
}

TEST(OpenRefusals, CachesThatAreNotKnownAreNotGuessed) {
  const std::vector<BadModel> cases{
      {"CFG_UNSUPPORTED", R"(the cache of model_type "frobnicate" is not known; known, beside)",
       open_config("frobnicate", kSomeHeads)},
      {"CFG_UNSUPPORTED", R"(the cache of model_type "deepseek_v32" is not known: its layers keep)",
       open_config("deepseek_v32", kSomeHeads)},
      {"CFG_UNSUPPORTED", R"(the cache of model_type "rwkv" is not known: its states)",
       open_config("rwkv", kSomeHeads)},
      {"CFG_UNSUPPORTED", "layers with an indexer keep its keys too",
       open_config("deepseek_v3", kSomeHeads + R"(, "index_topk": 2048)")},
      {"CFG_UNSUPPORTED", "versions of transformers disagree",
       open_config("qwen2_moe",
                   kSomeHeads + R"(, "num_key_value_heads": 8, "use_sliding_window": true)")},
      {"CFG_UNSUPPORTED", "block_configs[0].attention.window_length is not supported",
       open_config("nemotron-nas", R"("num_hidden_layers": 1, "num_attention_heads": 32,
            "block_configs": [{"attention": {"n_heads_in_group": 8, "window_length": 512}}])")},
      {"CFG_UNSUPPORTED", "attn_config.attn_type must be",
       R"({"model_type": "mpt", "n_layers": 2, "n_heads": 8, "d_model": 64,
           "attn_config": {"attn_type": "sparse_attention"}})"},
  };
  for (const BadModel& bad : cases) {
    SCOPED_TRACE(bad.config);
    const ErrorInfo info = expect_error<UnsupportedError>(bad.code, [&] { layout_of(bad.config); });
    EXPECT_TRUE(contains(info.message, bad.part));
  }
}

TEST(OpenRefusals, AnUnknownModelIsToldWhatIsKnownAndWhatToDo) {
  const ErrorInfo info = expect_error<UnsupportedError>(
      "CFG_UNSUPPORTED", [&] { layout_of(open_config("frobnicate", kSomeHeads)); });
  EXPECT_TRUE(contains(info.message, "falcon_h1"));
  EXPECT_TRUE(contains(info.message, "zamba2"));
  EXPECT_TRUE(contains(info.hint, "Llama's keys"));
  expect_error<CheckpointError>("CFG_MISSING_KEY", [&] { layout_of("{" + kSomeHeads + "}"); });
}

}  // namespace
}  // namespace regroup::testing
