#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/mlp_sizes.h"

namespace regroup {

/// What a layer keeps of the tokens that a sequence has had.
enum class CacheKind : uint8_t {
  kFull,     ///< keys and values of every token
  kSliding,  ///< keys and values of the last `window` tokens
  kLatent,   ///< one vector a token, whatever the number of heads (MLA)
  kLinear,   ///< a state of fixed size (Mamba, linear attention, short convolutions)
  kCross,    ///< keys and values of the encoder's tokens
  kNone      ///< nothing: no attention, or the cache of an earlier layer
};

/// "full", "sliding", "latent", "linear", "cross", "none"
std::string_view name_of(CacheKind kind);

/// One layer of a model, as its KV cache sees it. A layer with attention beside a state (Falcon-H1) has both.
struct CacheLayer {
  CacheKind kind = CacheKind::kFull;
  int64_t n_kv_heads = 0;      ///< kFull, kSliding, kCross
  int64_t head_elements = 0;   ///< of key and value together: one KV head, one token
  int64_t token_elements = 0;  ///< kLatent: kv_lora_rank + qk_rope_head_dim
  int64_t window = 0;          ///< kSliding: tokens kept
  int64_t state_elements = 0;  ///< of a sequence, however long it is

  /// Elements that one token adds while it is kept.
  int64_t elements_per_token() const { return n_kv_heads * head_elements + token_elements; }
  bool operator==(const CacheLayer&) const = default;
};

/// What the KV cache of a model looks like, of any that `plan` and `replay` know: more than those that regroup converts.
struct CacheLayout {
  std::string model_type;
  std::string architecture;  ///< "" where the file names none
  int64_t n_heads = 0;       ///< query heads
  int64_t n_kv_heads = 0;    ///< of the layer that has most; 0 where no layer has any
  int64_t head_dim = 0;      ///< of a query; 0 where layers have no heads
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;     ///< 0 where the file does not say
  int64_t max_positions = 0;  ///< 0 where nothing bounds them
  std::vector<CacheLayer> layers;
  std::optional<ModelConfig> config;  ///< of the families that regroup converts
};

/// @throws CheckpointError CFG_*, JSON_*; UnsupportedError CFG_UNSUPPORTED for a model whose cache is not known
CacheLayout read_cache_layout(const std::string& config_path);
/// The same for a text; `path` names it in errors.
CacheLayout parse_cache_layout(const std::string& text, const std::string& path);
CacheLayout cache_layout_of(const ModelConfig& config);

/// What of its weights a step needs; all of them where the model's are not known.
ExpertUse expert_use(const CacheLayout& layout);

/// The layout after a conversion: each layer has its KV heads * n_kv_heads / layout.n_kv_heads.
CacheLayout with_kv_heads(CacheLayout layout, int64_t n_kv_heads);

/// The layout as one of `devices` holds it that share the model (tensor parallelism): query heads and the KV heads of each
/// layer are divided and rounded up, so that a head lies on several devices where there are more of them; latent vectors
/// and states stay whole.
CacheLayout on_device(CacheLayout layout, int64_t devices);

/// Bits of an element of a state, whatever the KV cache's dtype is: engines keep states in the model's.
inline constexpr int64_t kStateBits = 16;

/// Bytes of the cache of one sequence of `tokens`, all layers. INT64_MAX when 63 bits would not hold it.
///   sum over layers of min(tokens, window) * elements_per_token * bits / 8 + state_elements * 2
int64_t cache_bytes(const CacheLayout& layout, int64_t tokens, int64_t bits);
/// What one more token costs while no window is full.
int64_t cache_bytes_per_token(const CacheLayout& layout, int64_t bits);
/// The longest context whose cache fits in `budget_bytes` at `batch` sequences; 0 if none does, INT64_MAX where
/// nothing grows for ever and all do.
int64_t longest_cached_context(const CacheLayout& layout, int64_t batch, int64_t bits,
                               int64_t budget_bytes);
/// Bytes of the states of one sequence.
int64_t state_bytes(const CacheLayout& layout);

}  // namespace regroup
