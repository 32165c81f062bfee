#include "regroup/checkpoint/family.h"

#include <fmt/format.h>

#include <algorithm>

#include "families/families.h"

namespace regroup {
namespace {

constexpr const ModelFamily* kFamilies[] = {
#define REGROUP_ENTRY(name) &families::name,
#include "regroup/model_families.inc"
#undef REGROUP_ENTRY
};

bool is_present(Presence presence, const ModelConfig& config) {
  switch (presence) {
    case Presence::kAlways:
      return true;
    case Presence::kQkvBias:
      return config.qkv_bias;
    case Presence::kOutputBias:
      return config.output_bias;
    case Presence::kMlpBias:
      return config.mlp_bias;
    case Presence::kSequential:
      return !config.parallel;
    case Presence::kUntied:
      return !config.tie_word_embeddings;
  }
  return false;
}

bool holds(const TensorRule& rule, Role role) {
  const auto parts = parts_of(rule.role);
  return rule.role == role || std::find(parts.begin(), parts.end(), role) != parts.end();
}

bool is_per_layer(const TensorRule& rule) { return rule.name.find("{}") != std::string_view::npos; }

ExpectedTensor instance(const TensorRule& rule, const ModelConfig& config, int64_t layer) {
  ExpectedTensor tensor{.name = is_per_layer(rule) ? fmt::format(fmt::runtime(rule.name), layer)
                                                   : std::string(rule.name),
                        .shape = {},
                        .rule = &rule,
                        .layer = is_per_layer(rule) ? layer : -1};
  for (const Dim dim : rule.shape) {
    if (dim != Dim::kNone) tensor.shape.push_back(value_of(dim, config));
  }
  return tensor;
}

}  // namespace

std::span<const ModelFamily* const> model_families() { return kFamilies; }

const ModelFamily* find_family(std::string_view model_type) {
  const auto it = std::find_if(std::begin(kFamilies), std::end(kFamilies),
                               [&](const ModelFamily* f) { return f->model_type == model_type; });
  return it == std::end(kFamilies) ? nullptr : *it;
}

int64_t mlp_matrices(const ModelConfig& config) { return config.family->block.gated ? 3 : 2; }

int64_t value_of(Dim dim, const ModelConfig& config) {
  switch (dim) {
    case Dim::kNone:
      return 1;
    case Dim::kVocab:
      return config.vocab_size;
    case Dim::kHidden:
      return config.hidden_size;
    case Dim::kQuery:
      return config.query_size();
    case Dim::kKv:
      return config.kv_size();
    case Dim::kQkv:
      return config.query_size() + 2 * config.kv_size();
    case Dim::kHeadDim:
      return config.head_dim;
    case Dim::kIntermediate:
      return config.intermediate_size;
    case Dim::kGateUp:
      return 2 * config.intermediate_size;
  }
  return 1;
}

std::vector<Role> parts_of(Role role) {
  if (role == Role::kQkv) return {Role::kQuery, Role::kKey, Role::kValue};
  if (role == Role::kGateUp) return {Role::kGate, Role::kUp};
  return {role};
}

int64_t rows_of(const TensorRule& rule, Role part, const ModelConfig& config) {
  if (part == rule.role) return value_of(rule.shape[0], config);
  if (part == Role::kQuery) return config.query_size();
  return rule.role == Role::kQkv ? config.kv_size() : config.intermediate_size;
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  const auto rules = config.family->tensors;
  const auto first_layer_rule = std::find_if(rules.begin(), rules.end(), is_per_layer);
  const auto after_layers = std::find_if_not(first_layer_rule, rules.end(), is_per_layer);
  const auto add = [&](auto begin, auto end, int64_t layer) {
    for (auto rule = begin; rule != end; ++rule) {
      if (is_present(rule->presence, config)) tensors.push_back(instance(*rule, config, layer));
    }
  };
  add(rules.begin(), first_layer_rule, -1);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    add(first_layer_rule, after_layers, layer);
  }
  add(after_layers, rules.end(), -1);
  return tensors;
}

std::string tensor_name(const ModelConfig& config, Role role, int64_t layer) {
  for (const TensorRule& rule : config.family->tensors) {
    if (holds(rule, role) && is_present(rule.presence, config)) {
      return instance(rule, config, layer).name;
    }
  }
  return {};
}

std::string part_name(const ModelConfig& config, Role role, int64_t layer) {
  std::string name = tensor_name(config, role, layer);
  for (const TensorRule& rule : config.family->tensors) {
    if (rule.role == role || !holds(rule, role)) continue;
    const auto parts = parts_of(rule.role);
    const auto index = std::find(parts.begin(), parts.end(), role) - parts.begin();
    return fmt::format("{}:{}", name, index);
  }
  return name;
}

bool is_ignored(const ModelFamily& family, std::string_view tensor_name) {
  return std::any_of(family.ignored.begin(), family.ignored.end(),
                     [&](std::string_view suffix) { return tensor_name.ends_with(suffix); });
}

int64_t count_parameters(const ModelConfig& config) {
  int64_t total = 0;
  for (const ExpectedTensor& tensor : expected_tensors(config)) {
    int64_t elements = 1;
    for (const int64_t dimension : tensor.shape) elements *= dimension;
    total += elements;
  }
  return total;
}

}  // namespace regroup
