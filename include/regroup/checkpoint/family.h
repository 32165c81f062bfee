#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// A symbolic dimension of a tensor; `value_of` gives its size at a config.
enum class Dim : uint8_t {
  kNone,
  kVocab,
  kHidden,
  kQuery,
  kKv,
  kQkv,  ///< queries, keys and values, one below the other
  kHeadDim,
  kHeads,    ///< query heads
  kKvHeads,  ///< key/value heads
  kIntermediate,
  kGateUp,  ///< gate and up, one below the other
  kOne,
  kExperts,
  kExpertIntermediate,
  kSharedIntermediate
};

/// What a tensor is for. The decoder finds its weights by role, never by name.
enum class Role : uint8_t {
  kEmbedding,
  kInputNorm,
  kInputNormBias,
  kQuery,
  kKey,
  kValue,
  kOutput,
  kQueryBias,
  kKeyBias,
  kValueBias,
  kOutputBias,
  kQkv,        ///< kQuery, kKey and kValue in one tensor
  kQkvBias,    ///< their biases, likewise
  kQueryNorm,  ///< gains of QkNorm
  kKeyNorm,
  kAttentionNorm,  ///< of what attention adds
  kMlpNorm,        ///< absent in a parallel block whose MLP reads what attention reads
  kMlpNormBias,
  kGate,
  kUp,
  kDown,
  kGateBias,
  kUpBias,
  kDownBias,
  kGateUp,  ///< kGate and kUp in one tensor
  kRouter,  ///< a row an expert
  kExpertGate,
  kExpertUp,
  kExpertDown,
  kSharedGate,  ///< of the expert that every token goes through
  kSharedUp,
  kSharedDown,
  kSharedRouter,  ///< one row: the sigmoid of its product is what that expert is multiplied by
  kMlpOutNorm,    ///< of what the MLP adds
  kFinalNorm,
  kFinalNormBias,
  kLmHead,
  kLmHeadBias,
};

/// When a tensor is part of the model.
enum class Presence : uint8_t {
  kAlways,
  kQkvBias,
  kOutputBias,
  kMlpBias,
  kQkNorm,
  kSequential,
  kTwoNorms,  ///< attention and MLP stand side by side, each with a norm of its own
  kNoTwoNorms,
  kOneMlp,        ///< in layers without experts
  kExperts,       ///< in layers with them
  kSharedExpert,  ///< likewise, with an expert for every token
  kUntied
};

/// How the rows of a tensor with several roles lie.
enum class RowLayout : uint8_t {
  kBlocks,  ///< one role below the other
  kGroups   ///< KV head by KV head: the query heads that read it, its keys, its values
};

struct TensorRule {
  std::string_view name;  ///< "{}" stands for the layer's number, a second one for that of `each`
  std::array<Dim, 2> shape;
  Role role;
  Presence presence = Presence::kAlways;
  RowLayout rows = RowLayout::kBlocks;
  Dim each = Dim::kNone;  ///< one tensor for each of these heads or experts; kNone: one for all
};

/// Whether a family has something: a boolean of config.json, or `otherwise` where the config does not say or has no
/// word for it.
struct BoolRule {
  std::string_view key = {};
  bool otherwise = false;
};

/// Which layers a config's sliding_window binds.
enum class WindowRule : uint8_t {
  kNone,
  kEveryLayer,   ///< but those that layer_types names
  kLaterLayers,  ///< with use_sliding_window, those from max_window_layers on
  kPattern       ///< all but every window_pattern-th, or those that layer_types names
};

/// What layers with and without a window do with position.
enum class SlidingRope : uint8_t {
  kSame,
  kOwn,  ///< rope_parameters may differ for both, and rope_scaling is that of layers without
  kOnly  ///< layers without a window have no RoPE
};

/// What transformers' class of a family takes for a key that config.json does not have. Where the class
/// has a value and the file says null, null counts.
struct ConfigDefaults {
  int64_t kv_heads = 0;            ///< 0: as many as query heads
  int64_t head_dim = 0;            ///< 0: hidden_size / num_attention_heads
  int64_t intermediate_ratio = 0;  ///< to hidden_size; 0: intermediate_size must be there
  int64_t max_positions = 2048;
  int64_t original_max_positions = 0;  ///< of scaled RoPE; 0: max_position_embeddings
  double norm_eps = 1e-6;
  double rope_theta = 10000.0;
  double sliding_theta = 10000.0;  ///< SlidingRope::kOwn
  double rotary_share = 1.0;       ///< of head_dim: partial_rotary_factor
  double initializer_range = 0.02;
  std::optional<int64_t> sliding_window = {};
  int64_t max_window_layers = 0;
  int64_t window_pattern = 0;  ///< WindowRule::kPattern
  // What the keys of the same names give otherwise.
  double query_scalar = 256;
  double logits_multiplier = 1;
  SoftCaps caps = {};
  std::optional<int64_t> bos_token_id = {};
  std::optional<int64_t> eos_token_id = {};
  bool tie_word_embeddings = false;
};

/// How a family's config.json spells what others spell otherwise.
struct ConfigKeys {
  std::string_view kv_heads = "num_key_value_heads";
  std::string_view norm_eps = "rms_norm_eps";
  std::string_view activation = "hidden_act";
  std::string_view intermediate = "intermediate_size";
  std::string_view rope_theta = "rope_theta";
  std::string_view rotary_share = "partial_rotary_factor";  ///< beside the rope settings
  // "" where the family has none.
  std::string_view rope_section =
      {};  ///< an object with "base" and "type" (origin or dynamic, of factor 1)
  std::string_view grouped = {};         ///< a boolean: unless true there is one KV head
  std::string_view parallel_norms = {};  ///< 1 or 2 in a parallel block; 2 where not given
  // Multipliers; "" where the family has none.
  std::string_view embedding_multiplier = {};
  std::string_view residual_multiplier = {};
  std::string_view attention_multiplier = {};
  std::string_view query_scalar = {};  ///< scores are divided by its root
  std::string_view logits_multiplier = {};
  std::string_view logits_divisor = {};
  // Other numbers; "" where the family has none.
  std::string_view window_pattern = {};
  std::string_view sliding_theta = {};
  std::string_view clip_qkv = {};
  std::string_view scores_cap = {};
  std::string_view logits_cap = {};
};

/// Which layers have experts.
enum class ExpertLayers : uint8_t {
  kAll,
  kSteps,  ///< every decoder_sparse_step-th but those of mlp_only_layers
  kFrom    ///< every moe_layer_freq-th from first_k_dense_replace on
};

/// How a family's config.json speaks of experts, and what its class takes where it does not.
struct ExpertRules {
  bool may_have = false;
  /// The spelling of published files; num_experts and num_local_experts are one to transformers.
  std::string_view count_key = "num_experts";
  int64_t count = 0;                   ///< 0: a config that does not say has none
  int64_t per_token = 0;               ///< num_experts_per_tok
  std::string_view intermediate = {};  ///< ""; they are as wide as an MLP
  int64_t intermediate_size = 0;
  std::string_view shared =
      {};  ///< the width of the expert that every token goes through; "": none
  int64_t shared_size = 0;
  bool shared_counts = false;  ///< `shared` says how many experts it is as wide as
  bool shared_is_gated = false;
  BoolRule sum_to_one = {};
  ExpertLayers layers = ExpertLayers::kAll;
};

/// A name of config.json and what transformers' class computes for it.
struct ActivationName {
  std::string_view name;
  Activation activation;
};

inline constexpr auto kSilu =
    std::to_array<ActivationName>({{"silu", Activation::kSilu}, {"swish", Activation::kSilu}});

/// A boolean of config.json that must not be `refused`.
struct RefusedKey {
  std::string_view key;
  std::string_view why;
  std::string_view hint = {};
  bool refused = true;
  std::string_view unless = {};  ///< a boolean: where it is true, the key means nothing
};

/// A class that has the family's model_type and computes otherwise.
struct RefusedName {
  std::string_view name;
  std::string_view why;
  std::string_view hint;
};

/// A model family: one table that converter, loader, planner and saver share. A tensor whose shape
/// holds KV heads changes in a conversion, every other tensor is copied byte for byte.
struct ModelFamily {
  std::string_view model_type;    ///< config.json's "model_type"
  std::string_view architecture;  ///< the class that transformers, vLLM and llama.cpp know
  ConfigDefaults defaults;
  ConfigKeys keys = {};
  std::span<const ActivationName> activations = kSilu;  ///< the default first
  std::span<const TensorRule> tensors;
  BlockSpec block = {};
  AttentionTraits attention = {};
  bool may_rotate_part = false;    ///< the config's partial_rotary_factor means something
  bool may_skip_rope = false;      ///< no_rope_layers and no_rope_layer_interval mean something
  bool embeds_by_root = false;     ///< embeddings are multiplied by sqrt(hidden_size)
  bool heads_fill_hidden = false;  ///< head_dim is hidden_size / n_heads, whatever the config says
  BoolRule qkv_bias = {};
  BoolRule output_bias = {};
  BoolRule mlp_bias = {};
  BoolRule qk_norm = {.otherwise = true};  ///< whether attention.qk_norm is there
  BoolRule parallel = {};
  bool always_two_norms = false;  ///< a parallel block has a norm for its MLP too
  ExpertRules experts = {};
  WindowRule window = WindowRule::kNone;
  SlidingRope sliding_rope = SlidingRope::kSame;
  std::span<const RefusedKey> refused_keys = {};
  std::span<const RefusedName> refused_architectures = {};
  /// The model_type that a conversion writes, where this one's class has no grouped-query attention: a family that
  /// computes the same, with every role in a tensor of its own.
  std::string_view written_as = {};
  std::string_view written_as_sequential =
      {};  ///< where attention and MLP are not side by side, if that is another
  /// Which engines do not serve it where query heads share KV heads, and what to do; "" where all do.
  std::string_view serving_limit = {};
  std::span<const std::string_view> ignored = {};  ///< suffixes of buffers that old folders carry
};

/// One tensor of a model at a config.
struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
  const TensorRule* rule;
  int64_t layer;  ///< -1 outside the layers
  int64_t part;   ///< which of TensorRule::each; -1 where one tensor is for all
  bool is_kv() const {
    const Dim rows = rule->shape[0];
    return rows == Dim::kKv || rows == Dim::kQkv || rows == Dim::kKvHeads ||
           rule->each == Dim::kKvHeads;
  }
};

/// Which rows of a tensor one role has: runs of rows that lie together, one run every `stride` rows. Gains of heads have a
/// row of one element a channel, whatever their shape.
struct PartRows {
  Role role;
  int64_t count;   ///< rows in all
  int64_t first;   ///< where the first run begins
  int64_t run;     ///< rows of a run
  int64_t stride;  ///< from the begin of a run to that of the next

  int64_t n_runs() const { return count / run; }
};

/// The roles that a tensor of `rule` holds and their rows, in the order of the files; its own role alone for most. All
/// have the same number of runs.
std::vector<PartRows> parts_of(const TensorRule& rule, const ModelConfig& config);

/// Where a role is: in which tensor, and in which rows of it.
struct PartPlace {
  std::string tensor;
  PartRows rows;
  std::vector<std::string> heads = {};  ///< where each head has a tensor: all of them, a run each

  const std::string& tensor_of(int64_t run) const {
    return heads.empty() ? tensor : heads[static_cast<size_t>(run)];
  }
};
/// @param layer  ignored outside layers   @return nullopt when the model has no such role
std::optional<PartPlace> find_part(const ModelConfig& config, Role role, int64_t layer = -1);

std::span<const ModelFamily* const> model_families();
const ModelFamily* find_family(std::string_view model_type);

/// What keeps a family that is known from being converted exactly; "" for any other name.
std::string_view why_refused(std::string_view model_type);

/// ModelFamily::serving_limit where it holds for `config`; "" where each query head has a KV head.
std::string_view serving_limit(const ModelConfig& config);

int64_t value_of(Dim dim, const ModelConfig& config);
/// All tensors of the model, in the order of the table.
std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config);
/// The name of the tensor that holds `role` in `layer` (ignored outside layers), the first of several; "" when absent.
std::string tensor_name(const ModelConfig& config, Role role, int64_t layer = -1);
/// The same, told apart from the other parts of its tensor: "model.layers.0.self_attn.qkv_proj.weight:1".
std::string part_name(const ModelConfig& config, Role role, int64_t layer);
bool is_ignored(const ModelFamily& family, std::string_view tensor_name);
int64_t count_parameters(const ModelConfig& config);

}  // namespace regroup
