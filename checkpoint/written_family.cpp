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

/// @param why  what the written class asks for, and what was found
[[noreturn]] void refuse(const ModelConfig& config, const ModelFamily& written,
                         const std::string& why, const std::string& path) {
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("{} shares no KV heads, so its conversions are written as {}, {}",
                              config.architecture, written.architecture, why),
       .path = path,
       .hint = "`regroup eval`, `regroup uptrain` and `regroup generate` take the model as it is"});
}

/// The class that conversions of `config` are written as, whether or not it fits.
const ModelFamily& target_of(const ModelConfig& config) {
  const ModelFamily& own = *config.family;
  if (own.written_as.empty()) return own;
  const bool other = !config.parallel && !own.written_as_sequential.empty();
  return *find_family(other ? own.written_as_sequential : own.written_as);
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

/// The sections of a config that say how position is encoded.
constexpr const char* kRopeSections[] = {"rope_parameters", "rope_scaling"};
constexpr const char* kShareInSection = "partial_rotary_factor";
constexpr const char* kWindowKeys[] = {"sliding_window", "use_sliding_window", "max_window_layers",
                                       "layer_types"};

/// Takes the keys away that only the source's class reads, and those that only the written class does: it would take them for
/// more than they are.
void erase_keys(const ModelFamily& source, const ModelFamily& written, Json& config) {
  const auto erase = [&config](std::string_view key) { config.erase(std::string(key)); };
  for (const ModelFamily* family : {&source, &written}) {
    const ConfigKeys& keys = family->keys;
    for (const std::string_view key :
         {keys.rope_theta, keys.rotary_share, family->parallel.key, family->qkv_bias.key,
          family->output_bias.key, family->mlp_bias.key}) {
      if (!key.empty()) erase(key);
    }
    for (const RefusedKey& key : family->refused_keys) erase(key.key);
  }
  for (const char* key : kWindowKeys) erase(key);
  for (const char* key : {"auto_map", "_name_or_path"}) erase(key);
  const auto erase_renamed = [&](std::string_view ours, std::string_view theirs) {
    if (ours == theirs) return;
    erase(ours);
    erase(theirs);
  };
  erase_renamed(source.keys.norm_eps, written.keys.norm_eps);
  erase_renamed(source.keys.activation, written.keys.activation);
  erase_renamed(source.keys.intermediate, written.keys.intermediate);
}

bool has_name(const ModelFamily& family, const Json& activation) {
  return activation.is_string() && std::any_of(family.activations.begin(), family.activations.end(),
                                               [&](const ActivationName& known) {
                                                 return known.name == activation.get<std::string>();
                                               });
}

void add_rotary_keys(const ModelConfig& source, const ModelFamily& to, Json& config) {
  config[std::string(to.keys.rope_theta)] = source.rope.theta;
  if (const std::string section(source.family->keys.rope_section); config.erase(section) > 0) {
    config.erase("rope_scaling");  // the source's class does not read it
    if (source.rope.kind == RopeKind::kDynamic) {
      config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", source.rope.factor}};
    }
  }
  if (to.may_rotate_part) config[std::string(to.keys.rotary_share)] = rotary_share(source);
  for (const char* name : kRopeSections) {
    if (!config.contains(name) || !config[name].is_object()) continue;
    Json& section = config[name];
    if (!section.contains(kShareInSection)) continue;
    if (to.may_rotate_part) {
      section[kShareInSection] = rotary_share(source);
    } else {
      section.erase(kShareInSection);
    }
  }
}

/// Adds what the written class reads: under its own keys, and where it would take another default.
void add_keys(const ModelConfig& source, const ModelConfig& written, Json& config) {
  const ModelFamily& to = *written.family;
  const auto set_missing = [&config](std::string_view key, const Json& value) {
    const std::string name(key);
    if (!config.contains(name) || config[name].is_null()) config[name] = value;
  };
  const std::string activation(to.keys.activation);
  if (!config.contains(activation) || !has_name(to, config[activation])) {
    config[activation] = name_of(to, written.activation);
  }
  set_missing(to.keys.intermediate, source.intermediate_size);
  set_missing(to.keys.norm_eps, source.norm_eps);
  set_missing("max_position_embeddings", source.max_positions);
  set_missing("tie_word_embeddings", source.tie_word_embeddings);
  add_rotary_keys(source, to, config);
  const auto set_bias = [&config](const BoolRule& rule, bool value) {
    if (!rule.key.empty() && value != rule.otherwise) config[std::string(rule.key)] = value;
  };
  set_bias(to.qkv_bias, written.qkv_bias);
  set_bias(to.output_bias, written.output_bias);
  set_bias(to.mlp_bias, written.mlp_bias);
  // null says that there is none.
  if (!config.contains("bos_token_id")) {
    config["bos_token_id"] = source.bos_token_id ? Json(*source.bos_token_id) : Json();
  }
  if (!config.contains("eos_token_id")) {
    const std::vector<int64_t>& ids = source.eos_token_ids;
    config["eos_token_id"] = ids.empty() ? Json() : Json(ids.front());
  }
}

}  // namespace

const ModelFamily& written_family(const ModelConfig& config, const std::string& path) {
  const ModelFamily& written = target_of(config);
  if (&written == config.family) return written;
  if (!written.may_rotate_part && config.rotary_dim != config.head_dim) {
    refuse(config, written,
           fmt::format("whose RoPE must turn all {} channels of a head, found {}", config.head_dim,
                       config.rotary_dim),
           path);
  }
  if (name_of(written, config.activation).empty()) {
    refuse(config, written, "which must have its activation, found none that computes it", path);
  }
  return written;
}

ModelConfig written_config(const ModelConfig& config) {
  const ModelFamily& written = target_of(config);
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
  erase_keys(*config.family, *written.family, json);
  add_keys(config, written, json);
  return json.dump(2) + "\n";
}

}  // namespace regroup
