// Models whose layers have heads of their own, or keys and values of an encoder.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/printable.h"

namespace regroup::open_models {
namespace {

constexpr Keys kOpenElm{.layers = "num_transformer_layers num_hidden_layers",
                        .heads = "",
                        .hidden = "model_dim hidden_size",
                        .positions = "max_context_length"};
// Relative positions are not bounded.
constexpr Keys kT5{.layers = "num_layers num_hidden_layers",
                   .heads = "num_heads num_attention_heads",
                   .kv_heads = "",
                   .head_dim = "d_kv",
                   .hidden = "d_model hidden_size",
                   .positions = ""};

void mllama_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const auto cross =
      read_integers(fields, "cross_attention_layers", std::nullopt, 0, layer_count(layout) - 1);
  if (!cross) {
    refuse("CFG_MISSING_KEY", fields, "must hold \"cross_attention_layers\"");
  }
  for (const int64_t layer : *cross) {
    layout.layers[static_cast<size_t>(layer)].kind = CacheKind::kCross;
  }
}

/// A layer of the decoder keeps its own keys and values, and those of the encoder.
void t5_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const int64_t n_layers =
      fields.integer("num_decoder_layers", 1, kMaxLayers).value_or(layer_count(layout));
  CacheLayer layer = attention_layer(layout);
  layout.layers.assign(static_cast<size_t>(n_layers), layer);
  layer.kind = CacheKind::kCross;
  layout.layers.insert(layout.layers.end(), static_cast<size_t>(n_layers), layer);
}

std::vector<int64_t> required_heads(const JsonFields& fields, const char* key, int64_t n_layers) {
  auto heads = read_integers(fields, key, n_layers, 1, kMaxWidth);
  if (heads) return *heads;
  refuse("CFG_MISSING_KEY", fields, fmt::format("must hold \"{}\"", key));
}

/// Query heads of one layer over its key/value heads.
void require_groups(const JsonFields& fields, size_t layer, int64_t n_heads, int64_t n_kv_heads) {
  if (n_heads % n_kv_heads == 0) return;
  inconsistent(fields, fmt::format("the query heads of layer {} must be a multiple of its "
                                   "key/value heads, found {} and {}",
                                   layer, n_heads, n_kv_heads));
}

void openelm_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const auto queries = required_heads(fields, "num_query_heads", layer_count(layout));
  const auto heads = required_heads(fields, "num_kv_heads", layer_count(layout));
  layout.head_dim = read_required(fields, "head_dim", kMaxWidth);
  for (size_t i = 0; i < heads.size(); ++i) {
    require_groups(fields, i, queries[i], heads[i]);
    layout.n_heads = std::max(layout.n_heads, queries[i]);
    layout.layers[i] = {.n_kv_heads = heads[i], .head_elements = 2 * layout.head_dim};
  }
}

void deci_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const auto heads = required_heads(fields, "num_key_value_heads_per_layer", layer_count(layout));
  for (size_t i = 0; i < heads.size(); ++i) {
    require_groups(fields, i, layout.n_heads, heads[i]);
    layout.layers[i].n_kv_heads = heads[i];
  }
}

CacheLayer read_nas_layer(const JsonFields& fields, const Json& block, size_t layer,
                          const CacheLayout& layout) {
  const Json* found =
      block.is_object() ? JsonFields(block, fields.path()).find("attention") : nullptr;
  if (found == nullptr || !found->is_object()) {
    inconsistent(fields, fmt::format("block_configs[{}] must hold an object \"attention\"", layer));
  }
  const JsonFields attention(*found, fields.path());
  for (const char* key : {"window_length", "num_sink_tokens", "llama4", "mamba"}) {
    if (attention.find(key) != nullptr) {
      unsupported(fields, fmt::format("block_configs[{}].attention.{} is not supported: what the "
                                      "layer keeps is not known",
                                      layer, key));
    }
  }
  if (attention.boolean("no_op").value_or(false) ||
      attention.boolean("replace_with_linear").value_or(false)) {
    return {.kind = CacheKind::kNone};
  }
  const int64_t group = read_required(attention, "n_heads_in_group", kMaxWidth);
  if (layout.n_heads % group != 0) {
    inconsistent(fields, fmt::format("num_attention_heads={} must be a multiple of "
                                     "block_configs[{}].attention.n_heads_in_group, found {}",
                                     layout.n_heads, layer, group));
  }
  return {.n_kv_heads = layout.n_heads / group, .head_elements = 2 * layout.head_dim};
}

void nas_layers(const JsonFields& fields, const OpenModel&, CacheLayout& layout) {
  const Json* blocks = fields.find("block_configs");
  if (blocks == nullptr || !blocks->is_array() || blocks->size() != layout.layers.size()) {
    inconsistent(fields, fmt::format("block_configs must be a list of {} objects, one a layer",
                                     layout.layers.size()));
  }
  for (size_t i = 0; i < layout.layers.size(); ++i) {
    layout.layers[i] = read_nas_layer(fields, (*blocks)[i], i, layout);
  }
}

constexpr Defaults kT5Defaults{.head_dim = 64};

constexpr OpenModel layered_row(std::string_view model_type, Keys keys, Defaults defaults,
                                LayerRule layers) {
  return {.model_type = model_type, .keys = keys, .defaults = defaults, .layers = layers};
}

constexpr auto kLayeredModels = std::to_array<OpenModel>({
    layered_row("deci", {}, {}, deci_layers),
    layered_row("mllama", {.head_dim = ""}, {.kv_heads = 8, .positions = 131072}, mllama_layers),
    layered_row("mllama_text_model", {.head_dim = ""}, {.kv_heads = 8, .positions = 131072},
                mllama_layers),
    layered_row("mt5", kT5, kT5Defaults, t5_layers),
    layered_row("nemotron-nas", {.kv_heads = ""}, {}, nas_layers),
    layered_row("openelm", kOpenElm, {}, openelm_layers),
    layered_row("t5", kT5, kT5Defaults, t5_layers),
    layered_row("umt5", kT5, kT5Defaults, t5_layers),
});

}  // namespace

std::span<const OpenModel> layered_models() { return kLayeredModels; }

}  // namespace regroup::open_models
