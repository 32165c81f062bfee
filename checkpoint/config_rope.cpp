#include "config_rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "config_support.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

RopeKind parse_kind(const std::string& name, bool has_lists, const std::string& path) {
  // Early folders of Phi-3 say "su" or "yarn".
  if (name == "longrope" || name == "su" || (name == "yarn" && has_lists)) {
    return RopeKind::kLongRope;
  }
  if (name == "default") return RopeKind::kDefault;
  if (name == "linear") return RopeKind::kLinear;
  if (name == "dynamic") return RopeKind::kDynamic;
  if (name == "llama3") return RopeKind::kLlama3;
  if (name == "yarn") return RopeKind::kYarn;
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("rope type \"{}\" is not supported; supported: default, linear, "
                              "dynamic, llama3, yarn, longrope",
                              printable(name)),
       .path = path});
}

double required(const JsonFields& rope, const char* key) {
  const auto value = rope.positive(key);
  if (value) return *value;
  throw CheckpointError({.code = "CFG_RANGE",
                         .message = fmt::format("the rope settings must hold \"{}\"", key),
                         .path = rope.path()});
}

/// 0.1 c ln(s) + 1: how much yarn sharpens attention at stretch s.
double yarn_gain(double factor, double c) {
  return factor <= 1 ? 1.0 : 0.1 * c * std::log(factor) + 1.0;
}

double yarn_attention_factor(const JsonFields& rope, double factor) {
  if (const auto given = rope.positive("attention_factor")) return *given;
  const auto mscale = rope.number("mscale");
  const auto mscale_all = rope.number("mscale_all_dim");
  if (mscale && mscale_all && *mscale != 0 && *mscale_all != 0) {
    return yarn_gain(factor, *mscale) / yarn_gain(factor, *mscale_all);
  }
  return yarn_gain(factor, 1.0);
}

/// The numbers, all above 0, of a list.
std::vector<double> read_factors(const JsonFields& rope, const char* key) {
  const Json* list = rope.find(key);
  std::vector<double> factors;
  const bool numbers = list != nullptr && list->is_array() && !list->empty() &&
                       std::all_of(list->begin(), list->end(), [](const Json& x) {
                         return x.is_number() && x.get<double>() > 0;
                       });
  if (!numbers) {
    throw CheckpointError(
        {.code = "CFG_RANGE",
         .message =
             fmt::format("the rope settings must hold \"{}\", a list of positive numbers", key),
         .path = rope.path()});
  }
  for (const Json& factor : *list) factors.push_back(factor.get<double>());
  return factors;
}

/// How much longrope sharpens attention (arXiv:2402.13753, section 3.3).
double longrope_attention_factor(const JsonFields& rope, const RopeConfig& config) {
  if (const auto given = rope.positive("attention_factor")) return *given;
  if (config.factor <= 1) return 1;
  const auto original = static_cast<double>(config.original_max_positions);
  return std::sqrt(1 + std::log(config.factor) / std::log(original));
}

/// Fills `config` from one dict in either spelling.
/// @param theta  where the dict says none
RopeConfig read_dict(const JsonFields& top, const JsonFields& rope, double theta,
                     const ConfigDefaults& defaults, int64_t max_positions) {
  RopeConfig config;
  const auto type = rope.string("rope_type");
  const auto legacy_type = rope.string("type");
  config.kind = parse_kind(type.value_or(legacy_type.value_or("default")),
                           rope.find("short_factor") != nullptr, rope.path());
  config.theta = rope.positive("rope_theta").value_or(theta);
  if (config.kind == RopeKind::kDefault) return config;
  const auto top_original = top.integer("original_max_position_embeddings", 1, kMaxPositions);
  const auto own_original = rope.integer("original_max_position_embeddings", 1, kMaxPositions);
  const int64_t assumed = defaults.original_max_positions > 0
                              ? defaults.original_max_positions
                              : own_original.value_or(max_positions);
  config.original_max_positions = top_original.value_or(assumed);
  const bool may_lack_factor = config.kind == RopeKind::kYarn || config.kind == RopeKind::kLongRope;
  if (may_lack_factor && rope.find("factor") == nullptr) {
    config.factor =
        static_cast<double>(max_positions) / static_cast<double>(config.original_max_positions);
  } else {
    config.factor = required(rope, "factor");
  }
  if (config.kind == RopeKind::kLlama3) {
    config.low_freq_factor = required(rope, "low_freq_factor");
    config.high_freq_factor = required(rope, "high_freq_factor");
    if (config.high_freq_factor <= config.low_freq_factor) {
      throw CheckpointError(
          {.code = "CFG_RANGE",
           .message = fmt::format("high_freq_factor must exceed low_freq_factor, "
                                  "found {} and {}",
                                  config.high_freq_factor, config.low_freq_factor),
           .path = rope.path()});
    }
  }
  if (config.kind == RopeKind::kLongRope) {
    config.short_factor = read_factors(rope, "short_factor");
    config.long_factor = read_factors(rope, "long_factor");
    config.attention_factor = longrope_attention_factor(rope, config);
  }
  if (config.kind == RopeKind::kYarn) {
    config.beta_fast = rope.positive("beta_fast").value_or(32.0);
    config.beta_slow = rope.positive("beta_slow").value_or(1.0);
    config.truncate = rope.boolean("truncate").value_or(true);
    config.attention_factor = yarn_attention_factor(rope, config.factor);
  }
  return config;
}

bool agree(const RopeConfig& a, const RopeConfig& b) {
  return a.kind == b.kind && a.theta == b.theta && a.factor == b.factor &&
         a.original_max_positions == b.original_max_positions &&
         a.low_freq_factor == b.low_freq_factor && a.high_freq_factor == b.high_freq_factor &&
         a.beta_fast == b.beta_fast && a.beta_slow == b.beta_slow && a.truncate == b.truncate &&
         a.attention_factor == b.attention_factor && a.short_factor == b.short_factor &&
         a.long_factor == b.long_factor;
}

const Json* find_dict(const JsonFields& fields, const char* key) {
  const Json* dict = fields.find(key);
  if (dict == nullptr) return nullptr;
  if (!dict->is_object()) {
    throw CheckpointError(
        {.code = "CFG_TYPE",
         .message = fmt::format("\"{}\" must be an object, found {}", key, printable(dict->dump())),
         .path = fields.path()});
  }
  return dict->empty() ? nullptr : dict;
}

/// partial_rotary_factor of the rope settings, or of the config itself.
std::optional<double> rotary_factor(const JsonFields& fields, const ModelFamily& family) {
  const std::string& path = fields.path();
  const std::string beside(family.keys.rotary_share);
  std::optional<double> found = fields.positive(beside.c_str());
  for (const char* key : {"rope_parameters", "rope_scaling"}) {
    const Json* dict = find_dict(fields, key);
    if (dict == nullptr) continue;
    const auto own = JsonFields(*dict, path).positive("partial_rotary_factor");
    if (own && found && *own != *found) {
      throw CheckpointError(
          {.code = "CFG_INCONSISTENT",
           .message = fmt::format("partial_rotary_factor in {} and {} beside it must be the same, "
                                  "found {} and {}",
                                  key, beside, *own, *found),
           .path = path,
           .hint = "remove the wrong one"});
    }
    if (own) found = own;
  }
  return found;
}

const Json kNothing = Json::object();

bool says_layer_types(const Json& dict) {
  return dict.contains("full_attention") || dict.contains("sliding_attention");
}

[[noreturn]] void refuse_layer_types(const std::string& path) {
  throw UnsupportedError({.code = "CFG_UNSUPPORTED",
                          .message = "rope settings per layer type are not supported",
                          .path = path});
}

/// rope_parameters, or where a family has two of them those of layers of `type`; nullptr: not given.
const Json* parameters_of(const JsonFields& fields, const ModelFamily& family, const char* type) {
  const Json* dict = find_dict(fields, "rope_parameters");
  if (dict == nullptr) return nullptr;
  if (family.sliding_rope != SlidingRope::kOwn) {
    if (says_layer_types(*dict)) refuse_layer_types(fields.path());
    return dict;
  }
  if (says_layer_types(*dict)) return find_dict(JsonFields(*dict, fields.path()), type);
  throw UnsupportedError(
      {.code = "CFG_UNSUPPORTED",
       .message = fmt::format("rope_parameters of {} must hold \"full_attention\" and "
                              "\"sliding_attention\", found neither",
                              family.architecture),
       .path = fields.path(),
       .hint = "take the settings from the model's original config.json"});
}

/// InternLM's "rotary": {"base": 10000, "type": "dynamic"}, as the settings that others spell out.
std::optional<Json> rope_section(const JsonFields& fields, const ModelFamily& family) {
  const std::string key(family.keys.rope_section);
  const Json* dict = key.empty() ? nullptr : find_dict(fields, key.c_str());
  if (dict == nullptr) return std::nullopt;
  const JsonFields section(*dict, fields.path());
  const std::string type = section.string("type").value_or("origin");
  if (type != "origin" && type != "dynamic") {
    throw UnsupportedError(
        {.code = "CFG_UNSUPPORTED",
         .message = fmt::format("\"type\" of \"{}\" must be origin or dynamic, found {}", key,
                                printable(type, 40)),
         .path = fields.path()});
  }
  Json settings = {{"rope_theta", section.positive("base").value_or(family.defaults.rope_theta)}};
  if (type == "dynamic") {
    settings["rope_type"] = "dynamic";
    settings["factor"] = 1.0;
  }
  return settings;
}

}  // namespace

RopeConfig read_rope(const JsonFields& fields, const ModelFamily& family, int64_t max_positions) {
  const std::string& path = fields.path();
  const Json* legacy = find_dict(fields, "rope_scaling");
  if (legacy != nullptr && says_layer_types(*legacy)) refuse_layer_types(path);
  const Json* current = parameters_of(fields, family, "full_attention");
  const std::string theta_key(family.keys.rope_theta);
  const double theta = fields.positive(theta_key.c_str()).value_or(family.defaults.rope_theta);
  const auto read = [&](const Json* dict) {
    return read_dict(fields, JsonFields(dict == nullptr ? kNothing : *dict, path), theta,
                     family.defaults, max_positions);
  };
  const RopeConfig config = read(legacy != nullptr ? legacy : current);
  if (const auto section = rope_section(fields, family)) return read(&*section);
  const bool both =
      current != nullptr && (legacy != nullptr || fields.find(theta_key.c_str()) != nullptr);
  if (both) {
    RopeConfig other = read(legacy != nullptr ? current : nullptr);
    if (legacy ==
        nullptr) {  // the old spelling gives theta alone: the scaling has nothing to contradict
      const double old = other.theta;
      other = config;
      other.theta = old;
    }
    if (!agree(config, other)) {
      throw CheckpointError(
          {.code = "CFG_INCONSISTENT",
           .message = "rope_parameters and rope_theta/rope_scaling must say the same",
           .path = path,
           .hint =
               "transformers 4.x and 5.x would compute different models; remove the wrong one"});
    }
  }
  return config;
}

std::optional<RopeConfig> read_sliding_rope(const JsonFields& fields, const ModelFamily& family,
                                            const RopeConfig& full, int64_t max_positions) {
  if (family.sliding_rope != SlidingRope::kOwn) return std::nullopt;
  const Json* dict = parameters_of(fields, family, "sliding_attention");
  double theta = family.defaults.sliding_theta;
  if (const std::string key(family.keys.sliding_theta); !key.empty()) {
    theta = fields.positive(key.c_str()).value_or(theta);
  } else if (const auto given = fields.positive("rope_theta");
             dict == nullptr && given && *given != theta) {
    throw CheckpointError(
        {.code = "CFG_INCONSISTENT",
         .message = fmt::format("rope_theta must be {} for {}, or rope_parameters must say what "
                                "layers with and without a window have; found {}",
                                theta, family.architecture, *given),
         .path = fields.path(),
         .hint = "versions of transformers differ in what it means for layers with a window"});
  }
  const RopeConfig sliding =
      read_dict(fields, JsonFields(dict == nullptr ? kNothing : *dict, fields.path()), theta,
                family.defaults, max_positions);
  if (sliding.kind == RopeKind::kDynamic || sliding.kind == RopeKind::kLongRope) {
    throw UnsupportedError({.code = "CFG_UNSUPPORTED",
                            .message = "rope settings of layers with a window must not depend on "
                                       "the length of the sequence, found dynamic or longrope",
                            .path = fields.path()});
  }
  return agree(sliding, full) ? std::nullopt : std::optional(sliding);
}

void require_factors(const RopeConfig& rope, int64_t rotary_dim, const std::string& path) {
  if (rope.kind != RopeKind::kLongRope) return;
  const auto planes = static_cast<size_t>(rotary_dim / 2);
  for (const auto& [key, factors] : {std::pair{"short_factor", &rope.short_factor},
                                     std::pair{"long_factor", &rope.long_factor}}) {
    if (factors->size() == planes) continue;
    throw CheckpointError({.code = "CFG_INCONSISTENT",
                           .message = fmt::format(
                               "{} must hold {} numbers, one for every two of the {} channels of a "
                               "head that RoPE turns, found {}",
                               key, planes, rotary_dim, factors->size()),
                           .path = path,
                           .hint = "take the list from the model's original config.json"});
  }
}

void require_finite_angles(const RopeConfig& rope, int64_t rotary_dim, int64_t max_positions,
                           const std::string& path) {
  bool finite = std::isfinite(rope.attention_factor);
  for (const int64_t seq_len : {int64_t{1}, kMaxPositions + 1}) {
    const std::vector<double> frequencies =
        rope_frequencies(rope, rotary_dim, seq_len, max_positions);
    finite = finite && std::all_of(frequencies.begin(), frequencies.end(), [](double frequency) {
               return std::isfinite(frequency * double{kMaxPositions});
             });
  }
  if (finite) return;
  throw CheckpointError({.code = "CFG_RANGE",
                         .message = "the rope settings must give finite angles and a finite "
                                    "attention factor, found others",
                         .path = path,
                         .hint = "take them from the model's original config.json"});
}

int64_t longest_context(const ModelConfig& config) {
  const RopeConfig& rope = config.rope;
  const bool lengthens = rope.kind == RopeKind::kLinear || rope.kind == RopeKind::kDynamic ||
                         rope.kind == RopeKind::kYarn;
  // Where layers have angles of two kinds, max_position_embeddings counts what is reached.
  if (!lengthens || config.family->sliding_rope == SlidingRope::kOwn) return config.max_positions;
  const double stretched = rope.factor * static_cast<double>(rope.original_max_positions);
  const auto max = static_cast<double>(kMaxPositions);
  return std::max(config.max_positions, static_cast<int64_t>(std::min(stretched, max)));
}

int64_t read_rotary_dim(const JsonFields& fields, const ModelFamily& family, int64_t head_dim) {
  if (head_dim % 2 != 0) {
    throw CheckpointError(
        {.code = "CFG_INCONSISTENT",
         .message = fmt::format("head_dim must be even for rotary embeddings, found {}", head_dim),
         .path = fields.path(),
         .hint = "correct the file, or fetch it again"});
  }
  const double factor = rotary_factor(fields, family).value_or(family.defaults.rotary_share);
  if (factor != 1.0 && !family.may_rotate_part) {
    throw UnsupportedError(
        {.code = "CFG_UNSUPPORTED",
         .message = fmt::format("partial_rotary_factor must be 1 for {}, found {}",
                                family.architecture, factor),
         .path = fields.path()});
  }
  const auto turned = static_cast<int64_t>(static_cast<double>(head_dim) * std::min(factor, 2.0));
  if (turned >= 2 && turned <= head_dim && turned % 2 == 0) return turned;
  throw CheckpointError(
      {.code = "CFG_INCONSISTENT",
       .message = fmt::format("partial_rotary_factor times head_dim={} must be an even number of "
                              "channels, 2 to {}, found {} * {}, rounded down to {}",
                              head_dim, head_dim, factor, head_dim, turned),
       .path = fields.path(),
       .hint = "take the value from the model's original config.json"});
}

}  // namespace regroup
