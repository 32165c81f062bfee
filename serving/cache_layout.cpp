#include "regroup/serving/cache_layout.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "open_models.h"
#include "regroup/base/error.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config_file.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

/// Where the language model of a model for images and text has its keys.
constexpr const char* kTextConfig = "text_config";

std::string type_of(const Json& object, const std::string& path) {
  return JsonFields(object, path).string("model_type").value_or(std::string());
}

/// A model of a family that is converted; one that its family refuses, or whose file lacks what weights alone need, has
/// a cache all the same.
CacheLayout read_family_model(std::string_view type, const Json& object, const std::string& path) {
  try {
    return cache_layout_of(parse_model_config(object.dump(), path));
  } catch (const UnsupportedError&) {
    if (!is_open_model(type)) throw;
  } catch (const CheckpointError& error) {
    if (error.info().code != "CFG_MISSING_KEY" || !is_open_model(type)) throw;
  }
  return read_open_model(type, JsonFields(object, path));
}

CacheLayout read_object(const Json& object, const std::string& path) {
  const std::string type = type_of(object, path);
  if (find_family(type) != nullptr) return read_family_model(type, object, path);
  const JsonFields fields(object, path);
  const Json* nested = fields.find(kTextConfig);
  const bool holds_text = nested != nullptr && nested->is_object();
  if (!is_open_model(type) && holds_text) return read_object(*nested, path);
  if (type.empty()) return cache_layout_of(parse_model_config(object.dump(), path));  // says so
  return read_open_model(type, holds_text ? JsonFields(*nested, path) : fields);
}

/// a + b * c, or INT64_MAX.
int64_t add_product(int64_t a, int64_t b, int64_t c) {
  int64_t product = 0;
  int64_t sum = 0;
  const bool over =
      __builtin_mul_overflow(b, c, &product) || __builtin_add_overflow(a, product, &sum);
  return over ? INT64_MAX : sum;
}

int64_t kept_tokens(const CacheLayer& layer, int64_t tokens) {
  return layer.kind == CacheKind::kSliding ? std::min(tokens, layer.window) : tokens;
}

}  // namespace

std::string_view name_of(CacheKind kind) {
  constexpr auto kNames =
      std::to_array<std::string_view>({"full", "sliding", "latent", "linear", "cross", "none"});
  return kNames[static_cast<size_t>(kind)];
}

CacheLayout parse_cache_layout(const std::string& text, const std::string& path) {
  const Json root = parse_strict_json(text, path, kConfigJson);
  if (!root.is_object()) return cache_layout_of(parse_model_config(text, path));  // says why not
  return read_object(root, path);
}

CacheLayout read_cache_layout(const std::string& config_path) {
  return parse_cache_layout(open_config_file(config_path).read_all(), config_path);
}

CacheLayout cache_layout_of(const ModelConfig& config) {
  CacheLayout layout{.model_type = std::string(config.family->model_type),
                     .architecture = config.architecture,
                     .n_heads = config.n_heads,
                     .n_kv_heads = config.n_kv_heads,
                     .head_dim = config.head_dim,
                     .hidden_size = config.hidden_size,
                     .vocab_size = config.vocab_size,
                     .max_positions = longest_context(config),
                     .config = config};
  for (const bool sliding : config.sliding_layers) {
    layout.layers.push_back({.kind = sliding ? CacheKind::kSliding : CacheKind::kFull,
                             .n_kv_heads = config.n_kv_heads,
                             .head_elements = 2 * config.head_dim,
                             .window = sliding ? *config.sliding_window : 0});
  }
  return layout;
}

ExpertUse expert_use(const CacheLayout& layout) {
  return layout.config ? expert_use(*layout.config) : ExpertUse{};
}

CacheLayout with_kv_heads(CacheLayout layout, int64_t n_kv_heads) {
  if (layout.n_kv_heads == 0) return layout;
  for (CacheLayer& layer : layout.layers) {
    layer.n_kv_heads = layer.n_kv_heads * n_kv_heads / layout.n_kv_heads;
  }
  layout.n_kv_heads = n_kv_heads;
  if (layout.config) layout.config->n_kv_heads = n_kv_heads;
  return layout;
}

CacheLayout on_device(CacheLayout layout, int64_t devices) {
  const auto share = [devices](int64_t heads) { return (heads + devices - 1) / devices; };
  for (CacheLayer& layer : layout.layers) layer.n_kv_heads = share(layer.n_kv_heads);
  layout.n_kv_heads = share(layout.n_kv_heads);
  layout.n_heads = share(layout.n_heads);
  return layout;
}

int64_t cache_bytes(const CacheLayout& layout, int64_t tokens, int64_t bits) {
  int64_t total = 0;
  for (const CacheLayer& layer : layout.layers) {
    total = add_product(total, kept_tokens(layer, tokens), layer.elements_per_token() * bits);
    if (total == INT64_MAX) return total;
  }
  return add_product(total / 8, state_bytes(layout), 1);
}

int64_t cache_bytes_per_token(const CacheLayout& layout, int64_t bits) {
  int64_t elements = 0;
  for (const CacheLayer& layer : layout.layers) elements += layer.elements_per_token();
  return elements * bits / 8;
}

int64_t longest_cached_context(const CacheLayout& layout, int64_t batch, int64_t bits,
                               int64_t budget_bytes) {
  const auto fits = [&](int64_t tokens) {
    return cache_bytes(layout, tokens, bits) <= budget_bytes / batch;
  };
  if (budget_bytes <= 0 || !fits(0)) return 0;
  if (fits(INT64_MAX)) return INT64_MAX;
  int64_t low = 0;  // fits
  int64_t high = int64_t{1} << 40;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

int64_t state_bytes(const CacheLayout& layout) {
  int64_t elements = 0;
  for (const CacheLayer& layer : layout.layers) elements += layer.state_elements;
  return elements * kStateBits / 8;
}

}  // namespace regroup
