#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/block.h"
#include "regroup/checkpoint/rope.h"

namespace regroup {

struct ModelFamily;

/// How the attention of a family limits what may be done to its heads without changing the model
/// (docs/methods.md, "What is exact"). A column of its table.
struct AttentionTraits {
  enum class Position : uint8_t {
    kRotary,       ///< the first rotary_dim channels of queries and keys are turned (RoPE)
    kNone,         ///< outside attention: learned and added to the residual stream
    kAlibi,        ///< a slope a query head, which belongs to the head's number
    kRelativeBias  ///< a bias a query head and distance, one table for all layers (T5)
  };
  /// Which channels are a rotary plane l.
  enum class Layout : uint8_t {
    kHalves,     ///< (l, l + rotary_dim / 2): transformers' rotate_half
    kNeighbours  ///< (2l, 2l + 1): interleaved
  };
  Position position = Position::kRotary;
  Layout layout = Layout::kHalves;
  QkNorm qk_norm = QkNorm::kNone;
  bool sinks = false;  ///< a logit of its own a query head joins the softmax: rows do not sum to 1

  bool normalises_keys() const { return qk_norm != QkNorm::kNone; }
  /// Gains of QK-norm move with their heads, and merge with them.
  bool has_gains_of_heads() const { return qk_norm == QkNorm::kWhole || qk_norm == QkNorm::kLayer; }
};

/// A layer's MLP as several of which a router chooses some for each token (arXiv:2401.04088, section 2.1).
struct Experts {
  int64_t count = 0;      ///< 0: one MLP for all tokens
  int64_t per_token = 0;  ///< those of the largest probabilities
  int64_t intermediate_size = 0;
  int64_t shared_intermediate_size = 0;  ///< of an expert that every token goes through; 0: none
  bool shared_is_gated = false;  ///< its output is multiplied by the sigmoid of a router of its own
  bool sum_to_one = false;       ///< the weights of a token's experts are divided by their sum

  bool operator==(const Experts&) const = default;
};

/// What regroup needs to know of a config.json. Everything else in the file is kept as it is.
struct ModelConfig {
  const ModelFamily* family = nullptr;
  std::string architecture;  ///< "LlamaForCausalLM"
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;    ///< equal to n_heads for MHA
  bool multi_query = false;  ///< its class has one KV head, and no key that gives it more
  int64_t head_dim = 0;
  int64_t hidden_size = 0;
  int64_t intermediate_size = 0;
  Experts experts;
  std::vector<bool> expert_layers;  ///< [n_layers]: which layers have experts; empty: none
  int64_t vocab_size = 0;
  int64_t max_positions = 0;
  Activation activation = Activation::kSilu;
  bool parallel = false;     ///< attention and MLP read the same residual stream, side by side
  bool own_mlp_norm = true;  ///< false: the MLP of a parallel block reads attention's norm
  double norm_eps = 1e-6;
  double initializer_range = 0.02;
  AttentionTraits attention;
  int64_t rotary_dim = 0;          ///< channels of a head that position turns: the first ones
  std::optional<double> clip_qkv;  ///< queries, keys and values are clipped to [-clip, clip]
  RopeConfig rope;
  std::optional<RopeConfig> sliding_rope;  ///< of layers with a window, where it is another
  std::vector<bool> turned_layers;         ///< [n_layers]: which layers have RoPE; empty: all
  Multipliers multipliers;
  SoftCaps caps;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;
  bool output_bias = false;
  bool mlp_bias = false;
  std::optional<int64_t> sliding_window;  ///< key j is visible to query i iff i - window < j <= i
  std::vector<bool> sliding_layers;       ///< [n_layers]: which layers use the window
  std::optional<int64_t> bos_token_id;
  std::vector<int64_t> eos_token_ids;
  std::string dtype;  ///< "bfloat16", or "" when the file does not say

  bool turns(int64_t layer) const {
    return turned_layers.empty() || turned_layers[static_cast<size_t>(layer)];
  }
  bool has_experts(int64_t layer) const {
    return layer >= 0 && !expert_layers.empty() && expert_layers[static_cast<size_t>(layer)];
  }
  bool slides(int64_t layer) const { return sliding_layers[static_cast<size_t>(layer)]; }
  int64_t group_size() const { return n_heads / n_kv_heads; }
  int64_t query_size() const { return n_heads * head_dim; }
  int64_t kv_size() const { return n_kv_heads * head_dim; }
};

/// Tokens of the longest sequence that the model is made for. max_position_embeddings counts what linear,
/// dynamic and yarn scaling start from, and what llama3 scaling has reached.
int64_t longest_context(const ModelConfig& config);

/// Reads `path` (a config.json).
/// @throws CheckpointError   CFG_*, JSON_*: missing, malformed or contradictory
/// @throws UnsupportedError  CFG_UNSUPPORTED, CFG_QUANTIZED: a model regroup cannot treat exactly
ModelConfig read_model_config(const std::string& path);
/// The same for a text; `path` names it in errors.
ModelConfig parse_model_config(const std::string& text, const std::string& path);

/// The text of `config_text` with `family`'s key of n_kv_heads set (added after "num_attention_heads" when
/// absent) and, if `dtype` is not empty, the dtype key set. Every other key keeps value and place.
std::string rewrite_config(const ModelFamily& family, const std::string& config_text,
                           int64_t n_kv_heads, const std::string& dtype, const std::string& path);

/// The values that n_kv_heads may take below `config.n_kv_heads`: "1, 2, 4, 8".
std::vector<int64_t> kv_head_choices(const ModelConfig& config);
/// @throws ConfigError KV_HEADS when `n_kv_heads` cannot be reached; names the values that can
void require_kv_heads(const ModelConfig& config, int64_t n_kv_heads);

}  // namespace regroup
