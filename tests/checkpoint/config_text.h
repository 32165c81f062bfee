#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"

namespace regroup::testing {

inline constexpr const char* kLlama2 = R"({
  "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 4096,
  "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
  "vocab_size": 32000, "max_position_embeddings": 4096, "rms_norm_eps": 1e-05,
  "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float16", "hidden_act": "silu"
})";

/// kLlama2 with the members of `changes` put in place; a member "REMOVE" is taken out.
inline std::string with(const std::string& changes) {
  Json root = Json::parse(kLlama2);
  const Json members = Json::parse(changes);
  for (const auto& [key, value] : members.items()) {
    if (value == "REMOVE") {
      root.erase(key);
    } else {
      root[key] = value;
    }
  }
  return root.dump();
}

inline ModelConfig parse(const std::string& text) {
  return parse_model_config(text, "config.json");
}

struct BadConfig {
  const char* id;
  const char* code;
  std::string text;
  const char* message = "";  ///< when given: all of it
};

}  // namespace regroup::testing
