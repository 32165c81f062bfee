// Mamba, and hybrids of it with attention. A convolution keeps as many tokens as its kernel is long, as in transformers.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/printable.h"

namespace regroup::open_models {
namespace {

constexpr Keys kNoHeads{.heads = "", .positions = ""};
constexpr Keys kNemotronH{.layers = "", .head_dim = "head_dim attention_head_dim"};

/// A convolution over `inner` channels, and `inner` states of `state` elements.
int64_t mamba1_state(const JsonFields& fields, int64_t inner, int64_t state, int64_t kernel) {
  return state_product(fields, {inner, state + kernel});
}

/// Mamba-2 convolves its inputs B and C too, of which each group has one.
int64_t mamba2_state(const JsonFields& fields, int64_t inner, int64_t groups, int64_t state,
                     int64_t kernel) {
  const int64_t channels = inner + 2 * state_product(fields, {groups, state});
  return state_product(fields, {channels, kernel}) + state_product(fields, {inner, state});
}

/// The heads of a Mamba-2 fill its inner width.
void require_heads(const JsonFields& fields, const char* heads_key, const char* head_key,
                   int64_t inner) {
  const Json* head = fields.find(head_key);
  const auto heads = fields.integer(heads_key, 1, kMaxWidth);
  if (!heads) return;
  const bool computed = head == nullptr || *head == "auto";
  const int64_t width = computed ? inner / *heads : *fields.integer(head_key, 1, kMaxWidth);
  if (*heads * width == inner) return;
  inconsistent(fields, fmt::format("{} times the size of a head must be the inner width {}, found "
                                   "{} * {}",
                                   heads_key, inner, *heads, width));
}

/// Under the keys of Bamba, Falcon-H1 and Granite 4.
int64_t prefixed_state(const JsonFields& fields, int64_t inner) {
  require_heads(fields, "mamba_n_heads", "mamba_d_head", inner);
  return mamba2_state(fields, inner, read_number(fields, "mamba_n_groups", 1),
                      read_number(fields, "mamba_d_state", 256),
                      read_number(fields, "mamba_d_conv", 4));
}

int64_t expanded(const JsonFields& fields, const CacheLayout& layout, const char* key) {
  return state_product(fields, {read_number(fields, key, 2), layout.hidden_size});
}

void all_states(const JsonFields& fields, CacheLayout& layout, int64_t state) {
  const std::vector<Use> uses(layout.layers.size(), Use::kState);
  apply_uses(fields, layout, uses, std::nullopt, state);
}

void mamba_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  // Falcon-Mamba's files have an `expand` that their intermediate_size overrules.
  const auto given = fields.integer("intermediate_size", 1, kMaxWidth);
  const int64_t inner = given ? *given : expanded(fields, layout, "expand");
  all_states(fields, layout,
             mamba1_state(fields, inner, read_number(fields, "state_size", 16),
                          read_number(fields, "conv_kernel", 4)));
}

void mamba2_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t inner = expanded(fields, layout, "expand");
  require_heads(fields, "num_heads", "head_dim", inner);
  all_states(
      fields, layout,
      mamba2_state(fields, inner, read_number(fields, "n_groups", 8),
                   read_number(fields, "state_size", 128), read_number(fields, "conv_kernel", 4)));
}

void jamba_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t period = fields.integer("attn_layer_period", 1, kMaxLayers).value_or(8);
  const int64_t offset = fields.integer("attn_layer_offset", 0, kMaxLayers).value_or(4);
  if (offset >= period) {
    inconsistent(fields, fmt::format("attn_layer_offset must be below attn_layer_period={}, "
                                     "found {}",
                                     period, offset));
  }
  std::vector<Use> uses;
  for (int64_t layer = 0; layer < layer_count(layout); ++layer) {
    uses.push_back(layer % period == offset ? Use::kFull : Use::kState);
  }
  apply_uses(fields, layout, uses, std::nullopt,
             mamba1_state(fields, expanded(fields, layout, "mamba_expand"),
                          read_number(fields, "mamba_d_state", 16),
                          read_number(fields, "mamba_d_conv", 4)));
}

void bamba_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const auto attention =
      read_integers(fields, "attn_layer_indices", std::nullopt, 0, layer_count(layout) - 1);
  apply_uses(fields, layout, uses_of(layout, attention.value_or(std::vector<int64_t>())),
             std::nullopt, prefixed_state(fields, expanded(fields, layout, "mamba_expand")));
}

void falcon_h1_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const bool wide = fields.has("mamba_d_ssm") && fields.find("mamba_d_ssm") == nullptr;
  const int64_t inner =
      wide ? expanded(fields, layout, "mamba_expand") : read_number(fields, "mamba_d_ssm", 1024);
  apply_uses(fields, layout, std::vector<Use>(layout.layers.size(), Use::kFullAndState),
             std::nullopt, prefixed_state(fields, inner));
}

void granite_hybrid_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const auto uses = read_uses(fields, "layer_types", layer_count(layout), state_words());
  apply_uses(fields, layout, uses.value_or(std::vector<Use>(layout.layers.size(), Use::kState)),
             std::nullopt, prefixed_state(fields, expanded(fields, layout, "mamba_expand")));
}

int64_t zamba2_head_dim(const JsonFields& fields, const OpenModel&, const CacheLayout& layout) {
  // Attention reads the hidden state and the embedding, side by side.
  const int64_t width = 2 * layout.hidden_size;
  if (width % layout.n_heads == 0) return width / layout.n_heads;
  inconsistent(fields, fmt::format("twice hidden_size must be a multiple of num_attention_heads, "
                                   "found {} and {}",
                                   width, layout.n_heads));
}

void zamba2_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t inner = expanded(fields, layout, "mamba_expand");
  const auto uses = read_uses(fields, "layers_block_type", layer_count(layout), state_words());
  if (!uses) {
    refuse("CFG_MISSING_KEY", fields, "must hold \"layers_block_type\"");
  }
  apply_uses(fields, layout, *uses, std::nullopt,
             mamba2_state(fields, inner, read_number(fields, "mamba_ngroups", 1),
                          read_number(fields, "mamba_d_state", 64),
                          read_number(fields, "mamba_d_conv", 4)));
}

/// hybrid_override_pattern: a letter for each layer.
std::vector<Use> read_pattern(const JsonFields& fields, const std::string& pattern) {
  std::vector<Use> uses;
  for (const char letter : pattern) {
    switch (letter) {
      case 'M':
        uses.push_back(Use::kState);
        break;
      case '*':
        uses.push_back(Use::kFull);
        break;
      case '-':
      case 'E':
        uses.push_back(Use::kNone);
        break;
      default:
        inconsistent(fields, fmt::format("hybrid_override_pattern must have the letters M, *, - "
                                         "and E, found {}",
                                         printable(pattern)));
    }
  }
  return uses;
}

/// A word for each layer, or in older files a letter.
std::vector<Use> read_nemotron_uses(const JsonFields& fields) {
  const auto n_layers = fields.integer("num_hidden_layers", 1, kMaxLayers);
  const char* key =
      fields.find("layers_block_type") != nullptr ? "layers_block_type" : "hybrid_override_pattern";
  const Json* list = fields.find(key);
  if (list == nullptr) {
    refuse("CFG_MISSING_KEY", fields, fmt::format("must hold \"{}\"", key));
  }
  const std::string pattern = list->is_array() ? "" : fields.string(key).value_or("");
  const auto length = static_cast<int64_t>(list->is_array() ? list->size() : pattern.size());
  if (length == 0 || length > kMaxLayers || length != n_layers.value_or(length)) {
    inconsistent(fields, fmt::format("{} must name each of num_hidden_layers={} layers, found {}",
                                     key, n_layers.value_or(1), length));
  }
  return list->is_array() ? *read_uses(fields, key, length, state_words())
                          : read_pattern(fields, pattern);
}

void nemotron_h_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t inner = state_product(fields, {read_number(fields, "mamba_num_heads", 128),
                                               read_number(fields, "mamba_head_dim", 64)});
  apply_uses(fields, layout, read_nemotron_uses(fields), std::nullopt,
             mamba2_state(fields, inner,
                          read_any(fields, "n_groups mamba_n_groups", kMaxWidth).value_or(8),
                          read_number(fields, "ssm_state_size", 128),
                          read_any(fields, "conv_kernel mamba_d_conv", kMaxWidth).value_or(4)));
}

constexpr OpenModel mamba_row(std::string_view model_type, Keys keys, Defaults defaults,
                              LayerRule layers) {
  return {.model_type = model_type, .keys = keys, .defaults = defaults, .layers = layers};
}

constexpr auto kMambaModels = std::to_array<OpenModel>({
    mamba_row("bamba", {}, {.kv_heads = 8, .positions = 262144}, bamba_layers),
    mamba_row("falcon_h1", {}, {.kv_heads = 8, .positions = 8192}, falcon_h1_layers),
    mamba_row("falcon_mamba", kNoHeads, {}, mamba_layers),
    mamba_row("granitemoehybrid", {}, {.positions = 2048}, granite_hybrid_layers),
    mamba_row("jamba", {}, {.kv_heads = 8, .positions = 262144}, jamba_layers),
    mamba_row("mamba", kNoHeads, {}, mamba_layers),
    mamba_row("mamba2", kNoHeads, {}, mamba2_layers),
    mamba_row("nemotron_h", kNemotronH, {.kv_heads = 8, .head_dim = 128, .positions = 4096},
              nemotron_h_layers),
    {.model_type = "zamba2",
     .defaults = {.positions = 4096},
     .head_dim = zamba2_head_dim,
     .layers = zamba2_layers},
});

}  // namespace

std::span<const OpenModel> mamba_models() { return kMambaModels; }

}  // namespace regroup::open_models
