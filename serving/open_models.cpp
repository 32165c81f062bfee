#include "open_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "open_models/open_model.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace open_models {
namespace {

struct UnknownModel {
  std::string_view model_type;
  std::string_view why;
};

constexpr std::string_view kIndexer =
    "its layers keep keys of an indexer beside the latent vector, in a format of their own";
constexpr std::string_view kRwkv = "its states differ from version to version";

constexpr auto kUnknown = std::to_array<UnknownModel>({
    {"deepseek_v32", kIndexer},
    {"deepseek_v4", "its layers keep compressed tokens"},
    {"glm_moe_dsa", kIndexer},
    {"rwkv", kRwkv},
    {"rwkv5", kRwkv},
    {"rwkv6", kRwkv},
    {"rwkv7", kRwkv},
});

std::array<std::span<const OpenModel>, 5> all_models() {
  return {attention_models(), window_models(), layered_models(), mamba_models(), state_models()};
}

const OpenModel* find_model(std::string_view model_type) {
  for (const auto models : all_models()) {
    for (const OpenModel& model : models) {
      if (model.model_type == model_type) return &model;
    }
  }
  return nullptr;
}

std::string known_types() {
  std::vector<std::string_view> names;
  for (const auto models : all_models()) {
    for (const OpenModel& model : models) names.push_back(model.model_type);
  }
  std::sort(names.begin(), names.end());
  return fmt::format("{}", fmt::join(names, ", "));
}

[[noreturn]] void refuse_model(std::string_view model_type, const JsonFields& fields) {
  if (model_type.empty()) {
    refuse("CFG_MISSING_KEY", fields, "must hold \"model_type\"");
  }
  const auto found = std::find_if(kUnknown.begin(), kUnknown.end(), [&](const UnknownModel& m) {
    return m.model_type == model_type;
  });
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("the cache of model_type \"{}\" is not known{}{}; known, beside the "
                              "families that regroup converts: {}",
                              printable(model_type), found == kUnknown.end() ? "" : ": ",
                              found == kUnknown.end() ? "" : found->why, known_types()),
       .path = fields.path(),
       .hint = "give a config.json with Llama's keys if every layer keeps keys and values of all "
               "tokens, or ask for this model type"});
}

std::vector<std::string> split(std::string_view spellings) {
  std::vector<std::string> keys;
  while (!spellings.empty()) {
    const size_t end = std::min(spellings.find(' '), spellings.size());
    keys.emplace_back(spellings.substr(0, end));
    spellings.remove_prefix(std::min(end + 1, spellings.size()));
  }
  return keys;
}

std::string read_architecture(const JsonFields& fields) {
  const Json* names = fields.find("architectures");
  const bool names_one = names != nullptr && names->is_array() && !names->empty();
  return names_one && names->front().is_string() ? names->front().get<std::string>()
                                                 : std::string();
}

void read_heads(const JsonFields& fields, const OpenModel& model, CacheLayout& layout) {
  layout.n_heads = read_required(fields, model.keys.heads, kMaxWidth, model.defaults.heads);
  layout.n_kv_heads = model.kv_heads(fields, model, layout.n_heads);
  if (layout.n_heads % layout.n_kv_heads != 0) {
    inconsistent(fields, fmt::format("the query heads must be a multiple of the key/value heads, "
                                     "found {} and {}",
                                     layout.n_heads, layout.n_kv_heads));
  }
  layout.head_dim = model.head_dim(fields, model, layout);
  // Latent attention adds two parts, so a head has at most 2^21.
  if (layout.n_heads * layout.head_dim > kMaxWidth) {
    refuse("CFG_OVERFLOW", fields,
           fmt::format("query heads * head_dim must be at most {}, found {} * {}", kMaxWidth,
                       layout.n_heads, layout.head_dim));
  }
}

CacheLayout read_layout(const OpenModel& model, const JsonFields& fields) {
  CacheLayout layout;
  layout.model_type = model.model_type;
  layout.architecture = read_architecture(fields);
  layout.hidden_size = read_required(fields, model.keys.hidden, kMaxWidth);
  layout.vocab_size = read_first(fields, "padded_vocab_size vocab_size", kMaxRows).value_or(0);
  layout.max_positions =
      read_first(fields, model.keys.positions, kMaxPositions).value_or(model.defaults.positions);
  if (!model.keys.heads.empty()) read_heads(fields, model, layout);
  if (!model.keys.layers.empty()) {
    const int64_t n_layers = read_required(fields, model.keys.layers, kMaxLayers);
    layout.layers.assign(static_cast<size_t>(n_layers), attention_layer(layout));
  }
  model.layers(fields, model, layout);
  layout.n_kv_heads = 0;
  for (const CacheLayer& layer : layout.layers) {
    layout.n_kv_heads = std::max(layout.n_kv_heads, layer.n_kv_heads);
  }
  return layout;
}

}  // namespace

void refuse(const char* code, const JsonFields& fields, const std::string& message) {
  throw CheckpointError({.code = code,
                         .message = message,
                         .path = fields.path(),
                         .hint = "correct the file, or fetch it again"});
}

void inconsistent(const JsonFields& fields, const std::string& message) {
  refuse("CFG_INCONSISTENT", fields, message);
}

void unsupported(const JsonFields& fields, const std::string& message) {
  throw UnsupportedError({.code = "CFG_UNSUPPORTED",
                          .message = message,
                          .path = fields.path(),
                          .hint = "nothing is guessed at; ask for what this model needs"});
}

std::optional<int64_t> read_any(const JsonFields& fields, std::string_view spellings, int64_t max) {
  std::optional<int64_t> found;
  std::string first;
  for (const std::string& key : split(spellings)) {
    const auto value = fields.integer(key.c_str(), 1, max);
    if (found && value && *found != *value) {
      inconsistent(fields, fmt::format("{} and {} must be the same, found {} and {}", first, key,
                                       *found, *value));
    }
    if (found || !value) continue;
    found = value;
    first = key;
  }
  return found;
}

std::optional<int64_t> read_first(const JsonFields& fields, std::string_view spellings,
                                  int64_t max) {
  for (const std::string& key : split(spellings)) {
    if (const auto value = fields.integer(key.c_str(), 1, max)) return value;
  }
  return std::nullopt;
}

int64_t read_required(const JsonFields& fields, std::string_view spellings, int64_t max,
                      int64_t otherwise) {
  const auto value = read_any(fields, spellings, max);
  if (value) return *value;
  if (otherwise != 0) return otherwise;
  refuse("CFG_MISSING_KEY", fields,
         fmt::format("must hold \"{}\"", fmt::join(split(spellings), "\" or \"")));
}

bool has_any(const JsonFields& fields, std::string_view spellings) {
  const auto keys = split(spellings);
  return std::any_of(keys.begin(), keys.end(),
                     [&](const std::string& key) { return fields.has(key.c_str()); });
}

const Json* read_object(const JsonFields& fields, const char* key) {
  const Json* object = fields.find(key);
  if (object != nullptr && !object->is_object()) {
    refuse("CFG_TYPE", fields,
           fmt::format("\"{}\" must be an object, found {}", key, printable(object->dump())));
  }
  return object;
}

std::optional<std::vector<int64_t>> read_integers(const JsonFields& fields, const char* key,
                                                  std::optional<int64_t> n, int64_t min,
                                                  int64_t max) {
  const Json* list = fields.find(key);
  if (list == nullptr) return std::nullopt;
  const auto fits = [&](const Json& x) { return x.is_number_integer() && x >= min && x <= max; };
  const bool all_fit = list->is_array() && std::all_of(list->begin(), list->end(), fits) &&
                       (!n || static_cast<int64_t>(list->size()) == *n);
  if (!all_fit) {
    inconsistent(fields,
                 fmt::format("{} must be a list of {}integers from {} to {}, found {}", key,
                             n ? fmt::format("{} ", *n) : "", min, max, printable(list->dump())));
  }
  return list->get<std::vector<int64_t>>();
}

int64_t keyed_kv_heads(const JsonFields& fields, const OpenModel& model, int64_t n_heads) {
  const std::string_view keys = model.keys.kv_heads;
  // Absent it is the class's default; null says MHA.
  const bool mha = model.defaults.kv_heads == 0 || has_any(fields, keys);
  return read_any(fields, keys, kMaxWidth).value_or(mha ? n_heads : model.defaults.kv_heads);
}

int64_t keyed_head_dim(const JsonFields& fields, const OpenModel& model,
                       const CacheLayout& layout) {
  const std::string_view keys = model.keys.head_dim;
  if (const auto head_dim = read_any(fields, keys, kMaxWidth)) return *head_dim;
  if (model.defaults.head_dim != 0 && !has_any(fields, keys)) return model.defaults.head_dim;
  if (layout.hidden_size % layout.n_heads != 0) {
    inconsistent(fields, fmt::format("without a head size, the hidden size must be a multiple of "
                                     "the query heads, found {} and {}",
                                     layout.hidden_size, layout.n_heads));
  }
  return layout.hidden_size / layout.n_heads;
}

CacheLayer attention_layer(const CacheLayout& layout) {
  return {.n_kv_heads = layout.n_kv_heads, .head_elements = 2 * layout.head_dim};
}

}  // namespace open_models

CacheLayout read_open_model(std::string_view model_type, const JsonFields& fields) {
  const open_models::OpenModel* model = open_models::find_model(model_type);
  if (model == nullptr) open_models::refuse_model(model_type, fields);
  return open_models::read_layout(*model, fields);
}

bool is_open_model(std::string_view model_type) {
  return open_models::find_model(model_type) != nullptr;
}

}  // namespace regroup
