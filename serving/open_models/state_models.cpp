// Models with states that are not Mamba's: gated delta nets, linear attention and recurrence, short convolutions.
#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"

namespace regroup::open_models {
namespace {

constexpr Keys kRecurrentGemma{.head_dim = "", .positions = ""};

/// A gated delta net keeps a matrix a head, and convolves queries, keys and values.
void delta_net_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t key_heads = read_number(fields, "linear_num_key_heads", 16);
  const int64_t value_heads = read_number(fields, "linear_num_value_heads", 32);
  const int64_t key = read_number(fields, "linear_key_head_dim", 128);
  const int64_t value = read_number(fields, "linear_value_head_dim", 128);
  const int64_t channels =
      2 * state_product(fields, {key_heads, key}) + state_product(fields, {value_heads, value});
  const int64_t state =
      state_product(fields, {channels, read_number(fields, "linear_conv_kernel_dim", 4)}) +
      state_product(fields, {value_heads, key, value});
  auto uses = read_uses(fields, "layer_types", layer_count(layout), state_words());
  if (!uses) {
    const int64_t every = fields.integer("full_attention_interval", 1, kMaxLayers).value_or(4);
    uses = every_nth(layer_count(layout), every, Use::kFull, Use::kState);
  }
  apply_uses(fields, layout, *uses, std::nullopt, state);
}

/// Blocks take turns in the order of block_types: a gated linear recurrence, or attention with a window.
void recurrent_gemma_layers(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  static constexpr auto kWords =
      std::to_array<Word>({{"recurrent", Use::kState}, {"attention", Use::kSliding}});
  std::vector<Use> turn{Use::kState, Use::kState, Use::kSliding};
  for (const char* key : {"_block_types", "block_types"}) {  // older files have the first
    const Json* types = fields.find(key);
    if (types == nullptr) continue;
    turn = *read_uses(fields, key, static_cast<int64_t>(types->size()), kWords);
    if (turn.empty()) inconsistent(fields, fmt::format("{} must name a block", key));
  }
  std::vector<Use> uses;
  for (size_t layer = 0; layer < layout.layers.size(); ++layer) {
    uses.push_back(turn[layer % turn.size()]);
  }
  const int64_t width = read_number(fields, "lru_width", layout.hidden_size);
  // The convolution keeps all its tokens but the newest: conv1d_width - 1 of them, beside one state.
  apply_uses(fields, layout, uses, read_window(fields, model.window),
             state_product(fields, {width, read_number(fields, "conv1d_width", 4)}));
}

void lfm2_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t state =
      state_product(fields, {layout.hidden_size, read_number(fields, "conv_L_cache", 3)});
  auto uses = read_uses(fields, "layer_types", layer_count(layout), state_words());
  if (!uses) {
    const auto attention =
        read_integers(fields, "full_attn_idxs", std::nullopt, 0, layer_count(layout) - 1);
    if (!attention) {
      refuse("CFG_MISSING_KEY", fields, "must hold \"layer_types\" or \"full_attn_idxs\"");
    }
    uses = uses_of(layout, *attention);
  }
  apply_uses(fields, layout, *uses, std::nullopt, state);
}

/// Lightning attention keeps a matrix a query head.
void minimax_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t state = state_product(fields, {layout.n_heads, layout.head_dim, layout.head_dim});
  auto uses = read_uses(fields, "layer_types", layer_count(layout), state_words());
  if (!uses) uses = every_nth(layer_count(layout), 2, Use::kState, Use::kFull);
  apply_uses(fields, layout, *uses, std::nullopt, state);
}

constexpr Defaults kQwen3Next{.kv_heads = 2, .head_dim = 256, .positions = 32768};
constexpr Defaults kQwen35{.kv_heads = 4, .head_dim = 256, .positions = 32768};

constexpr OpenModel state_row(std::string_view model_type, Keys keys, Defaults defaults,
                              LayerRule layers) {
  return {.model_type = model_type, .keys = keys, .defaults = defaults, .layers = layers};
}

constexpr auto kStateModels = std::to_array<OpenModel>({
    state_row("lfm2", {}, {.kv_heads = 8, .positions = 128000}, lfm2_layers),
    state_row("lfm2_moe", {}, {.kv_heads = 8, .positions = 128000}, lfm2_layers),
    state_row("minimax", {}, {.kv_heads = 8, .positions = 131072}, minimax_layers),
    state_row("qwen3_5", {}, kQwen35, delta_net_layers),
    state_row("qwen3_5_moe", {}, kQwen3Next, delta_net_layers),
    state_row("qwen3_5_moe_text", {}, kQwen3Next, delta_net_layers),
    state_row("qwen3_5_text", {}, kQwen35, delta_net_layers),
    state_row("qwen3_next", {}, kQwen3Next, delta_net_layers),
    {.model_type = "recurrent_gemma",
     .keys = kRecurrentGemma,
     .layers = recurrent_gemma_layers,
     .window = {.key = "attention_window_size", .tokens = 2048}},
});

}  // namespace

std::span<const OpenModel> state_models() { return kStateModels; }

}  // namespace regroup::open_models
