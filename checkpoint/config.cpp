#include "regroup/checkpoint/config.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "config_experts.h"
#include "config_layers.h"
#include "config_rope.h"
#include "config_support.h"
#include "model_place.h"
#include "regroup/base/error.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/printable.h"
#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config_file.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

// As those of config_support.h.
constexpr int64_t kMaxWidth = 1 << 20;
constexpr int64_t kMaxRows = 1 << 24;

int64_t required(const JsonFields& fields, const char* key, int64_t max) {
  const auto value = fields.integer(key, 1, max);
  if (!value) refuse_config("CFG_MISSING_KEY", fields.path(), fmt::format("must hold \"{}\"", key));
  return *value;
}

/// The width of the MLP.
int64_t read_intermediate(const JsonFields& fields, const ModelConfig& config) {
  const std::string key(config.family->keys.intermediate);
  const int64_t ratio = config.family->defaults.intermediate_ratio;
  if (ratio == 0) return required(fields, key.c_str(), kMaxRows);
  return fields.integer(key.c_str(), 1, kMaxRows).value_or(ratio * config.hidden_size);
}

void read_kv_heads(const JsonFields& fields, ModelConfig& config) {
  const std::string grouped(config.family->keys.grouped);
  config.multi_query = !grouped.empty() && !fields.boolean(grouped.c_str()).value_or(false);
  config.n_kv_heads = 1;
  if (config.multi_query) return;
  const std::string key(config.family->keys.kv_heads);
  // Absent it is the class's default; null says MHA.
  const bool mha = config.family->defaults.kv_heads == 0 || fields.has(key.c_str());
  config.n_kv_heads = fields.integer(key.c_str(), 1, kMaxWidth)
                          .value_or(mha ? config.n_heads : config.family->defaults.kv_heads);
  if (!config.family->written_as.empty() && config.n_kv_heads != config.n_heads) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("{} must be num_attention_heads={} for {}, which shares no KV heads, "
                              "found {}",
                              key, config.n_heads, config.family->architecture, config.n_kv_heads));
  }
  if (config.n_heads % config.n_kv_heads != 0) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("num_attention_heads must be a multiple of {}, found {} and {}{}",
                              key, config.n_heads, config.n_kv_heads,
                              fields.has(key.c_str()) ? "" : ", the default of this family"));
  }
}

void read_heads(const JsonFields& fields, ModelConfig& config) {
  config.n_heads = required(fields, "num_attention_heads", kMaxWidth);
  read_kv_heads(fields, config);
  if (const auto head_dim = fields.integer("head_dim", 1, kMaxWidth)) {
    config.head_dim = *head_dim;
  } else if (config.family->defaults.head_dim > 0) {
    config.head_dim = config.family->defaults.head_dim;
  } else if (config.hidden_size % config.n_heads != 0) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("without \"head_dim\", hidden_size must be a multiple of "
                              "num_attention_heads, found {} and {}",
                              config.hidden_size, config.n_heads));
  } else {
    config.head_dim = config.hidden_size / config.n_heads;
  }
  if (config.family->heads_fill_hidden && config.query_size() != config.hidden_size) {
    refuse_config(
        "CFG_INCONSISTENT", fields.path(),
        fmt::format("head_dim times num_attention_heads must be hidden_size={} for {}, found "
                    "{} * {}",
                    config.hidden_size, config.family->architecture, config.head_dim,
                    config.n_heads));
  }
  if (config.query_size() > kMaxWidth) {
    refuse_config("CFG_OVERFLOW", fields.path(),
                  fmt::format("num_attention_heads * head_dim must be at most {}, found {} * {}",
                              kMaxWidth, config.n_heads, config.head_dim));
  }
}

void read_token_ids(const JsonFields& fields, ModelConfig& config) {
  const auto check = [&](const char* key, const Json& value) {
    const bool fits = value.is_number_unsigned() &&
                      value.get<uint64_t>() < static_cast<uint64_t>(config.vocab_size);
    if (!fits) {
      refuse_config("CFG_TOKEN_ID", fields.path(),
                    fmt::format("\"{}\" must be a token id below vocab_size={}, found {}", key,
                                config.vocab_size, printable(value.dump())));
    }
    return value.get<int64_t>();
  };
  // A default that the vocabulary does not have is none.
  const auto default_of = [&](const char* key, std::optional<int64_t> id) {
    return !fields.has(key) && id && *id < config.vocab_size ? id : std::nullopt;
  };
  const ConfigDefaults& defaults = config.family->defaults;
  const Json* bos = fields.find("bos_token_id");
  config.bos_token_id = bos != nullptr ? check("bos_token_id", *bos)
                                       : default_of("bos_token_id", defaults.bos_token_id);
  const Json* eos = fields.find("eos_token_id");
  if (eos == nullptr) {
    if (const auto id = default_of("eos_token_id", defaults.eos_token_id)) {
      config.eos_token_ids = {*id};
    }
    return;
  }
  if (!eos->is_array()) {
    config.eos_token_ids = {check("eos_token_id", *eos)};
    return;
  }
  for (const Json& id : *eos) config.eos_token_ids.push_back(check("eos_token_id", id));
}

/// A number above 0 under a key that the family may not have.
std::optional<double> optional_number(const JsonFields& fields, std::string_view key) {
  if (key.empty()) return std::nullopt;
  return fields.positive(std::string(key).c_str());
}

Multipliers read_multipliers(const JsonFields& fields, const ModelConfig& config) {
  const ConfigKeys& keys = config.family->keys;
  const ConfigDefaults& defaults = config.family->defaults;
  const auto read = [&](std::string_view key, double otherwise) {
    return optional_number(fields, key).value_or(otherwise);
  };
  double scores = keys.attention_multiplier.empty() ? 0 : read(keys.attention_multiplier, 1);
  if (!keys.query_scalar.empty()) {
    scores = 1 / std::sqrt(read(keys.query_scalar, defaults.query_scalar));
  }
  const double root = std::sqrt(static_cast<double>(config.hidden_size));
  return {.embedding = read(keys.embedding_multiplier, config.family->embeds_by_root ? root : 1),
          .residual = read(keys.residual_multiplier, 1),
          .attention = scores,
          .logits = read(keys.logits_multiplier, defaults.logits_multiplier) /
                    read(keys.logits_divisor, 1)};
}

/// Whether attention and MLP stand side by side, and then with how many norms.
void read_parallel(const JsonFields& fields, bool parallel, ModelConfig& config) {
  config.parallel = parallel;
  config.own_mlp_norm = !parallel || config.family->always_two_norms;
  const std::string key(config.family->keys.parallel_norms);
  if (!parallel || key.empty()) return;
  const int64_t norms = fields.integer(key.c_str(), 1, 2).value_or(config.multi_query ? 1 : 2);
  config.own_mlp_norm = norms == 2;
  if (!config.own_mlp_norm || !config.multi_query) return;
  throw UnsupportedError({.code = "CFG_UNSUPPORTED",
                          .message = fmt::format("{} must be 1 where {} is false, found 2: the "
                                                 "class computes nothing else there",
                                                 key, config.family->keys.grouped),
                          .path = fields.path(),
                          .hint = "take the value from the model's original config.json"});
}

/// A cap that the file gives as null is none.
double read_cap(const JsonFields& fields, std::string_view key, double otherwise) {
  if (key.empty()) return 0;
  const bool null = fields.has(std::string(key).c_str());
  return optional_number(fields, key).value_or(null ? 0 : otherwise);
}

}  // namespace

ModelConfig parse_model_config(const std::string& text, const std::string& path) {
  const Json root = parse_strict_json(text, path, kConfigJson);
  if (!root.is_object()) {
    refuse_config("CFG_NOT_OBJECT", path,
                  fmt::format("must be a JSON object, found {}", root.type_name()));
  }
  const JsonFields fields(root, path);
  ModelConfig config;
  config.family = read_family(fields);
  const ModelFamily& family = *config.family;
  config.architecture = family.architecture;
  refuse_unsupported(fields, family);
  config.activation = read_activation(fields, family);
  config.n_layers = required(fields, "num_hidden_layers", kMaxLayers);
  config.hidden_size = required(fields, "hidden_size", kMaxWidth);
  config.intermediate_size = read_intermediate(fields, config);
  read_experts(fields, config);
  config.vocab_size = required(fields, "vocab_size", kMaxRows);
  const ConfigDefaults& defaults = family.defaults;
  config.max_positions =
      fields.integer("max_position_embeddings", 1, kMaxPositions).value_or(defaults.max_positions);
  config.norm_eps = optional_number(fields, family.keys.norm_eps).value_or(defaults.norm_eps);
  config.initializer_range =
      fields.positive("initializer_range").value_or(defaults.initializer_range);
  read_heads(fields, config);
  config.attention = family.attention;
  config.rotary_dim = read_rotary_dim(fields, family, config.head_dim);
  config.rope = read_rope(fields, family, config.max_positions);
  config.sliding_rope = read_sliding_rope(fields, family, config.rope, config.max_positions);
  require_factors(config.rope, config.rotary_dim, path);
  require_finite_angles(config.rope, config.rotary_dim, config.max_positions, path);
  if (config.sliding_rope) {
    require_finite_angles(*config.sliding_rope, config.rotary_dim, config.max_positions, path);
  }
  config.clip_qkv = optional_number(fields, family.keys.clip_qkv);
  config.multipliers = read_multipliers(fields, config);
  config.caps = {.scores = read_cap(fields, family.keys.scores_cap, defaults.caps.scores),
                 .logits = read_cap(fields, family.keys.logits_cap, defaults.caps.logits)};
  config.tie_word_embeddings =
      fields.boolean("tie_word_embeddings").value_or(defaults.tie_word_embeddings);
  const auto has = [&fields](const BoolRule& rule) {
    if (rule.key.empty()) return rule.otherwise;
    return fields.boolean(std::string(rule.key).c_str()).value_or(rule.otherwise);
  };
  config.qkv_bias = has(family.qkv_bias);
  config.output_bias = has(family.output_bias);
  config.mlp_bias = has(family.mlp_bias);
  if (!has(family.qk_norm)) config.attention.qk_norm = QkNorm::kNone;
  read_parallel(fields, has(family.parallel), config);
  read_window(fields, config);
  read_turned_layers(fields, config);
  read_token_ids(fields, config);
  // transformers lets `dtype` win over the older spelling.
  config.dtype =
      fields.string("dtype").value_or(fields.string("torch_dtype").value_or(std::string()));
  if (config.dtype.starts_with("torch.")) config.dtype.erase(0, 6);
  return config;
}

InputFile open_config_file(const std::string& path) {
  if (!path_exists(path)) refuse_without_config(parent_folder(path));
  InputFile file(path);
  if (file.size() > kConfigJson.bytes) {
    refuse_config(
        "LIMIT_FILE_SIZE", path,
        fmt::format("must have at most {} bytes, found {}", kConfigJson.bytes, file.size()));
  }
  return file;
}

ModelConfig read_model_config(const std::string& path) {
  return parse_model_config(open_config_file(path).read_all(), path);
}

std::vector<int64_t> kv_head_choices(const ModelConfig& config) {
  std::vector<int64_t> choices;
  for (int64_t g = 1; g <= config.n_kv_heads; ++g) {
    if (config.n_kv_heads % g == 0) choices.push_back(g);
  }
  return choices;
}

void require_kv_heads(const ModelConfig& config, int64_t n_kv_heads) {
  if (n_kv_heads >= 1 && config.n_kv_heads % n_kv_heads == 0) return;
  if (config.multi_query) {
    throw ConfigError(
        {.code = "KV_HEADS",
         .message = fmt::format("`kv-heads` must be 1, as {} has one key/value head where {} is "
                                "false, found {}: there is nothing to convert",
                                config.architecture, config.family->keys.grouped, n_kv_heads),
         .hint = "its KV cache is as small as it can be; `regroup plan` says how much of it fits"});
  }
  const std::string choices = fmt::format("{}", fmt::join(kv_head_choices(config), ", "));
  const bool larger = n_kv_heads > config.n_kv_heads;
  throw ConfigError(
      {.code = "KV_HEADS",
       .message = fmt::format("`kv-heads` must {} the model's {} key/value heads, found {}",
                              larger ? "not exceed" : "divide", config.n_kv_heads, n_kv_heads),
       .hint = fmt::format("choose one of {}", choices)});
}

}  // namespace regroup
