// Lists of layers: what each word of config.json means for the cache; and the sizes of states.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/printable.h"

namespace regroup::open_models {
namespace {

/// Of one layer: far above every real model, and times kMaxLayers and 16 bits below 2^63.
constexpr int64_t kMaxStateElements = int64_t{1} << 36;

constexpr auto kWindowWords = std::to_array<Word>({
    {"full_attention", Use::kFull},
    {"sliding_attention", Use::kSliding},
});

constexpr auto kStateWords = std::to_array<Word>({
    {"full_attention", Use::kFull},
    {"attention", Use::kFull},
    {"linear_attention", Use::kState},
    {"mamba", Use::kState},
    {"conv", Use::kState},
    {"hybrid", Use::kFullAndState},
    {"mlp", Use::kNone},
    {"moe", Use::kNone},
});

Use use_of(const JsonFields& fields, const char* key, size_t layer, const Json& word,
           std::span<const Word> words) {
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const Word& w) { return word == w.word; });
  if (found != words.end()) return found->use;
  std::vector<std::string_view> known;
  for (const Word& w : words) known.push_back(w.word);
  inconsistent(fields, fmt::format("{}[{}] must be one of {}, found {}", key, layer,
                                   fmt::join(known, ", "), printable(word.dump())));
}

CacheLayer layer_of(Use use, const CacheLayout& layout, std::optional<int64_t> window,
                    int64_t state_elements) {
  if (use == Use::kNone) return {.kind = CacheKind::kNone};
  if (use == Use::kState) return {.kind = CacheKind::kLinear, .state_elements = state_elements};
  CacheLayer layer = attention_layer(layout);
  if (use == Use::kFullAndState) layer.state_elements = state_elements;
  if (use == Use::kSliding) {
    layer.kind = CacheKind::kSliding;
    layer.window = *window;
  }
  return layer;
}

}  // namespace

int64_t layer_count(const CacheLayout& layout) {
  return static_cast<int64_t>(layout.layers.size());
}

std::span<const Word> window_words() { return kWindowWords; }
std::span<const Word> state_words() { return kStateWords; }

std::optional<std::vector<Use>> read_uses(const JsonFields& fields, const char* key,
                                          int64_t n_layers, std::span<const Word> words) {
  const Json* list = fields.find(key);
  if (list == nullptr) return std::nullopt;
  if (!list->is_array() || static_cast<int64_t>(list->size()) != n_layers) {
    inconsistent(
        fields,
        fmt::format("{} must be a list of {} words, one a layer, found {}", key, n_layers,
                    list->is_array() ? std::to_string(list->size()) : printable(list->dump())));
  }
  std::vector<Use> uses;
  for (const Json& word : *list) uses.push_back(use_of(fields, key, uses.size(), word, words));
  return uses;
}

std::vector<Use> every_nth(int64_t n_layers, int64_t n, Use nth, Use between) {
  std::vector<Use> uses;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    uses.push_back(n != 0 && (layer + 1) % n == 0 ? nth : between);
  }
  return uses;
}

std::optional<int64_t> read_window(const JsonFields& fields, const Window& window) {
  const std::string key(window.key);
  // Null says that there is none, whatever the class's default.
  if (fields.has(key.c_str())) return fields.integer(key.c_str(), 1, kMaxPositions);
  return window.tokens == 0 ? std::nullopt : std::optional(window.tokens);
}

void apply_uses(const JsonFields& fields, CacheLayout& layout, const std::vector<Use>& uses,
                std::optional<int64_t> window, int64_t state_elements) {
  if (!window && std::find(uses.begin(), uses.end(), Use::kSliding) != uses.end()) {
    inconsistent(fields, "layers slide over a window, but there is no window in use");
  }
  layout.layers.clear();
  for (const Use use : uses) {
    layout.layers.push_back(layer_of(use, layout, window, state_elements));
  }
}

int64_t read_number(const JsonFields& fields, const char* key, int64_t otherwise) {
  return fields.integer(key, 1, kMaxWidth).value_or(otherwise);
}

int64_t state_product(const JsonFields& fields, std::initializer_list<int64_t> factors) {
  int64_t result = 1;
  for (const int64_t factor : factors) {
    if (__builtin_mul_overflow(result, factor, &result) || result > kMaxStateElements) {
      refuse("CFG_OVERFLOW", fields,
             fmt::format("the state of a layer must have at most {} elements, found {}",
                         kMaxStateElements, fmt::join(factors, " * ")));
    }
  }
  return result;
}

std::vector<Use> uses_of(const CacheLayout& layout, const std::vector<int64_t>& attention) {
  std::vector<Use> uses(layout.layers.size(), Use::kState);
  for (const int64_t layer : attention) uses[static_cast<size_t>(layer)] = Use::kFull;
  return uses;
}

}  // namespace regroup::open_models
