// Models whose class shares no KV heads, as models of a class that does.
#include "written_family.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/strict_json.h"

namespace regroup {
namespace {

constexpr std::string_view kShared =
    "its own class shares no KV heads, and a conversion of it is written as that one";

[[noreturn]] void refuse(const ModelConfig& config, const ModelFamily& written,
                         const std::string& why) {
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("a {} must fit {} to be converted: {}; {}", config.architecture,
                              written.architecture, kShared, why),
       .hint = "`eval`, `uptrain` and `generate` take it as it is"});
}

/// The first of `family`'s names for `activation`; "" for none.
std::string_view name_of(const ModelFamily& family, Activation activation) {
  for (const ActivationName& known : family.activations) {
    if (known.activation == activation) return known.name;
  }
  return {};
}

/// What the written class has of a bias: it has no word for some, and one word for several of them.
bool has_bias(const BoolRule& rule, const ModelConfig& source) {
  if (rule.key.empty()) return rule.otherwise;
  return source.qkv_bias || source.output_bias || source.mlp_bias;
}

/// The share of a head that RoPE turns: times head_dim and rounded down, it gives rotary_dim again.
double rotary_share(const ModelConfig& config) {
  const auto all = static_cast<double>(config.head_dim);
  const auto turned = static_cast<double>(config.rotary_dim);
  const double share = turned / all;
  return share * all < turned ? std::nextafter(share, 2.0) : share;
}

/// Takes the keys away that only the source's class reads.
void erase_own_keys(const ModelFamily& source, const ModelFamily& written, Json& config) {
  const auto erase = [&config](std::string_view ours, std::string_view theirs) {
    if (!ours.empty() && ours != theirs) config.erase(std::string(ours));
  };
  erase("auto_map", {});
  erase("_name_or_path", {});
  erase(source.keys.norm_eps, written.keys.norm_eps);
  erase(source.keys.activation, written.keys.activation);
  erase(source.keys.intermediate, written.keys.intermediate);
  erase(source.keys.rope_theta, written.keys.rope_theta);
  erase(source.keys.rotary_share, written.keys.rotary_share);
  erase(source.parallel.key, written.parallel.key);
  erase(source.qkv_bias.key, written.qkv_bias.key);
  erase(source.output_bias.key, written.output_bias.key);
  erase(source.mlp_bias.key, written.mlp_bias.key);
}

/// Adds what the written class reads under another key, or would take another default for.
void add_written_keys(const ModelConfig& source, const ModelConfig& written, Json& config) {
  const ModelFamily& from = *source.family;
  const ModelFamily& to = *written.family;
  const auto set = [&](std::string_view key, std::string_view theirs, const Json& value) {
    const std::string name(key);
    if (key != theirs || !config.contains(name)) config[name] = value;
  };
  const auto set_default = [&](const char* key, const auto& ours, const auto& theirs,
                               const Json& value) {
    if (ours != theirs && !config.contains(key)) config[key] = value;
  };
  const std::string_view activation = name_of(to, written.activation);
  const std::string key(to.keys.activation);
  const bool known =
      config.contains(key) && config[key].is_string() &&
      std::any_of(to.activations.begin(), to.activations.end(), [&](const ActivationName& name) {
        return name.name == config[key].get<std::string>();
      });
  if (!known) config[key] = activation;
  if (to.keys.norm_eps != from.keys.norm_eps || from.defaults.norm_eps != to.defaults.norm_eps) {
    set(to.keys.norm_eps, from.keys.norm_eps, source.norm_eps);
  }
  if (to.keys.rope_theta != from.keys.rope_theta) {
    config[std::string(to.keys.rope_theta)] = source.rope.theta;
  }
  if (to.may_rotate_part) {
    set(to.keys.rotary_share, from.keys.rotary_share, rotary_share(source));
  }
  if (!to.qkv_bias.key.empty() && written.qkv_bias != to.qkv_bias.otherwise) {
    config[std::string(to.qkv_bias.key)] = written.qkv_bias;
  }
  const ConfigDefaults& a = from.defaults;
  const ConfigDefaults& b = to.defaults;
  set_default("max_position_embeddings", a.max_positions, b.max_positions, source.max_positions);
  set_default("tie_word_embeddings", a.tie_word_embeddings, b.tie_word_embeddings,
              source.tie_word_embeddings);
  set_default("bos_token_id", a.bos_token_id, b.bos_token_id,
              source.bos_token_id ? Json(*source.bos_token_id) : Json());
  set_default("eos_token_id", a.eos_token_id, b.eos_token_id,
              source.eos_token_ids.empty() ? Json() : Json(source.eos_token_ids.front()));
}

}  // namespace

const ModelFamily& written_family(const ModelConfig& config) {
  const ModelFamily& own = *config.family;
  if (own.written_as.empty()) return own;
  const std::string_view name = config.parallel || own.written_as_sequential.empty()
                                    ? own.written_as
                                    : own.written_as_sequential;
  const ModelFamily& written = *find_family(name);
  if (!written.may_rotate_part && config.rotary_dim != config.head_dim) {
    refuse(config, written,
           fmt::format("it turns all {} channels of a head, this model {}", config.head_dim,
                       config.rotary_dim));
  }
  if (name_of(written, config.activation).empty()) {
    refuse(config, written, "it does not have this activation");
  }
  return written;
}

ModelConfig written_config(const ModelConfig& config) {
  const ModelFamily& written = written_family(config);
  ModelConfig after = config;
  if (&written == config.family) return after;
  after.family = &written;
  after.architecture = written.architecture;
  after.own_mlp_norm = !config.parallel || written.always_two_norms;
  after.qkv_bias = has_bias(written.qkv_bias, config);
  after.output_bias = has_bias(written.output_bias, config);
  after.mlp_bias = has_bias(written.mlp_bias, config);
  return after;
}

std::string rename_class(const ModelConfig& config, const std::string& config_text,
                         const std::string& path) {
  const ModelConfig written = written_config(config);
  if (written.family == config.family) return config_text;
  Json json = parse_strict_json(config_text, path, kConfigJson);
  json["architectures"] = Json::array({written.architecture});
  json["model_type"] = written.family->model_type;
  erase_own_keys(*config.family, *written.family, json);
  add_written_keys(config, written, json);
  return json.dump(2) + "\n";
}

}  // namespace regroup
