#include "config_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "config_support.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

constexpr int64_t kEveryFourth = 4;  // transformers' default of no_rope_layer_interval

/// Which layers slide over a window, where layer_types says so: a name for every layer.
std::optional<std::vector<bool>> read_layer_types(const JsonFields& fields, int64_t n_layers) {
  const Json* types = fields.find("layer_types");
  if (types == nullptr) return std::nullopt;
  if (!types->is_array() || static_cast<int64_t>(types->size()) != n_layers) {
    refuse_config(
        "CFG_INCONSISTENT", fields.path(),
        fmt::format("layer_types must be a list of num_hidden_layers={} names, found {}", n_layers,
                    types->is_array() ? std::to_string(types->size()) : printable(types->dump())));
  }
  std::vector<bool> slides;
  for (const Json& type : *types) {
    if (type != "sliding_attention" && type != "full_attention") {
      throw UnsupportedError(
          {.code = "CFG_UNSUPPORTED",
           .message = fmt::format("layer_types[{}] must be \"full_attention\" or "
                                  "\"sliding_attention\", found {}",
                                  slides.size(), printable(type.dump())),
           .path = fields.path(),
           .hint = "README.md lists what is supported; nothing else is guessed at"});
    }
    slides.push_back(type == "sliding_attention");
  }
  return slides;
}

/// Layers that are said to slide over a window that is not there.
void require_no_sliding_layer(const JsonFields& fields, int64_t n_layers) {
  const auto slides = read_layer_types(fields, n_layers);
  if (!slides || std::find(slides->begin(), slides->end(), true) == slides->end()) return;
  refuse_config("CFG_INCONSISTENT", fields.path(),
                "layer_types names \"sliding_attention\", but there is no sliding_window in use");
}

/// One layer in so many sees all tokens.
int64_t full_layer_interval(const JsonFields& fields, const ModelFamily& family) {
  const std::string key(family.keys.window_pattern);
  if (key.empty()) return family.defaults.window_pattern;
  return fields.integer(key.c_str(), 1, kMaxLayers).value_or(family.defaults.window_pattern);
}

}  // namespace

void read_window(const JsonFields& fields, ModelConfig& config) {
  config.sliding_layers.assign(static_cast<size_t>(config.n_layers), false);
  const WindowRule rule = config.family->window;
  if (rule == WindowRule::kNone) {
    // transformers slides over a window wherever layer_types says so.
    return config.family->may_skip_rope ? require_no_sliding_layer(fields, config.n_layers)
                                        : void();
  }
  const bool later = rule == WindowRule::kLaterLayers;
  const bool pattern = rule == WindowRule::kPattern;
  const ConfigDefaults& defaults = config.family->defaults;
  if (!later || fields.boolean("use_sliding_window").value_or(false)) {
    config.sliding_window = fields.has("sliding_window")
                                ? fields.integer("sliding_window", 1, kMaxPositions)
                                : defaults.sliding_window;
  }
  if (!config.sliding_window && pattern) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  "must hold \"sliding_window\", the tokens that layers with a window see");
  }
  if (!config.sliding_window) return require_no_sliding_layer(fields, config.n_layers);
  const int64_t first =
      later
          ? fields.integer("max_window_layers", 0, kMaxLayers).value_or(defaults.max_window_layers)
          : 0;
  const int64_t every = pattern ? full_layer_interval(fields, *config.family) : 0;
  for (int64_t layer = first; layer < config.n_layers; ++layer) {
    config.sliding_layers[static_cast<size_t>(layer)] = every == 0 || (layer + 1) % every != 0;
  }
  if (auto slides = read_layer_types(fields, config.n_layers)) {
    config.sliding_layers = std::move(*slides);
  }
}

void read_turned_layers(const JsonFields& fields, ModelConfig& config) {
  if (config.family->sliding_rope == SlidingRope::kOnly) {
    config.turned_layers = config.sliding_layers;
    return;
  }
  if (!config.family->may_skip_rope) return;
  const Json* layers = fields.find("no_rope_layers");
  const int64_t interval =
      fields.integer("no_rope_layer_interval", 1, kMaxLayers).value_or(kEveryFourth);
  if (layers == nullptr) {
    for (int64_t layer = 0; layer < config.n_layers; ++layer) {
      config.turned_layers.push_back((layer + 1) % interval != 0);
    }
    return;
  }
  const bool fits =
      layers->is_array() && static_cast<int64_t>(layers->size()) == config.n_layers &&
      std::all_of(layers->begin(), layers->end(), [](const Json& x) { return x == 0 || x == 1; });
  if (!fits) {
    refuse_config(
        "CFG_INCONSISTENT", fields.path(),
        fmt::format("no_rope_layers must be a list of num_hidden_layers={} numbers, 1 where a "
                    "layer has RoPE and 0 where not, found {}",
                    config.n_layers, printable(layers->dump())));
  }
  for (const Json& turned : *layers) config.turned_layers.push_back(turned == 1);
}

}  // namespace regroup
