#include "config_experts.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "config_support.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

// Far above every real model: a table of tensors and a product of sizes stay small.
constexpr int64_t kMaxExperts = 1 << 16;
constexpr int64_t kMaxExpertsOfLayers = 1 << 16;
constexpr int64_t kMaxChannels = 1 << 24;

/// transformers 5 saves under num_local_experts what is published as num_experts.
int64_t read_count(const JsonFields& fields, const ExpertRules& rules) {
  const std::string own(rules.count_key);
  if (!own.starts_with("num_")) return fields.integer(own.c_str(), 1, kMaxExperts).value_or(0);
  const auto count = fields.integer("num_experts", 1, kMaxExperts);
  const auto local = fields.integer("num_local_experts", 1, kMaxExperts);
  if (count && local && *count != *local) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("num_experts and num_local_experts must be the same, found {} and {}",
                              *count, *local));
  }
  return count ? *count : local.value_or(rules.count);
}

int64_t read_width(const JsonFields& fields, std::string_view key, int64_t otherwise) {
  if (key.empty()) return otherwise;
  return fields.integer(std::string(key).c_str(), 1, kMaxChannels).value_or(otherwise);
}

/// ExpertLayers::kFrom
std::vector<bool> layers_from(const JsonFields& fields, int64_t n_layers) {
  const int64_t every = fields.integer("moe_layer_freq", 1, kMaxLayers).value_or(1);
  const int64_t first = fields.integer("first_k_dense_replace", 0, kMaxLayers).value_or(0);
  std::vector<bool> layers;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    layers.push_back(layer >= first && layer % every == 0);
  }
  return layers;
}

std::vector<bool> read_layers(const JsonFields& fields, const ModelConfig& config) {
  const ExpertLayers rule = config.family->experts.layers;
  if (rule == ExpertLayers::kFrom) return layers_from(fields, config.n_layers);
  std::vector<bool> layers(static_cast<size_t>(config.n_layers), true);
  if (rule == ExpertLayers::kAll) return layers;
  const int64_t every = fields.integer("decoder_sparse_step", 1, kMaxLayers).value_or(1);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    layers[static_cast<size_t>(layer)] = (layer + 1) % every == 0;
  }
  const Json* named = fields.find("mlp_only_layers");
  if (named == nullptr) return layers;
  const auto is_layer = [&](const Json& x) {
    return x.is_number_integer() && x >= 0 && x < config.n_layers;
  };
  if (!named->is_array() || !std::all_of(named->begin(), named->end(), is_layer)) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("mlp_only_layers must be a list of layers below "
                              "num_hidden_layers={}, found {}",
                              config.n_layers, printable(named->dump())));
  }
  for (const Json& layer : *named) layers[layer.get<size_t>()] = false;
  return layers;
}

void require_sizes(const JsonFields& fields, const ModelConfig& config) {
  const Experts& experts = config.experts;
  if (experts.per_token == 0) {
    refuse_config("CFG_MISSING_KEY", fields.path(), "must hold \"num_experts_per_tok\"");
  }
  if (experts.per_token > experts.count) {
    refuse_config("CFG_INCONSISTENT", fields.path(),
                  fmt::format("num_experts_per_tok must be at most the number of experts, found "
                              "{} of {}",
                              experts.per_token, experts.count));
  }
  if (config.n_layers * experts.count > kMaxExpertsOfLayers ||
      experts.count * experts.intermediate_size > kMaxChannels ||
      experts.shared_intermediate_size > kMaxChannels) {
    refuse_config(
        "CFG_OVERFLOW", fields.path(),
        fmt::format("experts must be at most {} in all layers and have at most {} channels in "
                    "each, found {} layers of {} experts of {} channels",
                    kMaxExpertsOfLayers, kMaxChannels, config.n_layers, experts.count,
                    experts.intermediate_size));
  }
}

}  // namespace

void read_experts(const JsonFields& fields, ModelConfig& config) {
  const ExpertRules& rules = config.family->experts;
  if (!rules.may_have) return;
  const int64_t count = read_count(fields, rules);
  if (count == 0) return;
  const int64_t width =
      rules.intermediate.empty() ? config.intermediate_size : rules.intermediate_size;
  const BoolRule& sum = rules.sum_to_one;
  config.experts = {
      .count = count,
      .per_token = fields.integer("num_experts_per_tok", 1, kMaxExperts).value_or(rules.per_token),
      .intermediate_size = read_width(fields, rules.intermediate, width),
      .shared_intermediate_size = read_width(fields, rules.shared, rules.shared_size),
      .shared_is_gated = rules.shared_is_gated,
      .sum_to_one = sum.key.empty()
                        ? sum.otherwise
                        : fields.boolean(std::string(sum.key).c_str()).value_or(sum.otherwise)};
  if (rules.shared_counts) {
    config.experts.shared_intermediate_size *= config.experts.intermediate_size;
  }
  require_sizes(fields, config);
  config.expert_layers = read_layers(fields, config);
}

}  // namespace regroup
