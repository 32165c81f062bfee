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

/// @param layer  -1 outside the layers
bool is_present(Presence presence, const ModelConfig& config, int64_t layer) {
  switch (presence) {
    case Presence::kAlways:
      return true;
    case Presence::kQkvBias:
      return config.qkv_bias;
    case Presence::kOutputBias:
      return config.output_bias;
    case Presence::kMlpBias:
      return config.mlp_bias;
    case Presence::kQkNorm:
      return config.attention.normalises_keys();
    case Presence::kSequential:
      return !config.parallel;
    case Presence::kTwoNorms:
      return config.parallel && config.own_mlp_norm;
    case Presence::kNoTwoNorms:
      return !config.parallel || !config.own_mlp_norm;
    case Presence::kOneMlp:
      return !config.has_experts(layer);
    case Presence::kExperts:
      return config.has_experts(layer);
    case Presence::kSharedExpert:
      return config.has_experts(layer) && config.experts.shared_intermediate_size > 0;
    case Presence::kUntied:
      return !config.tie_word_embeddings;
  }
  return false;
}

/// The roles that a tensor of `role` holds; `role` alone for most.
std::vector<Role> roles_of(Role role) {
  switch (role) {
    case Role::kQkv:
      return {Role::kQuery, Role::kKey, Role::kValue};
    case Role::kQkvBias:
      return {Role::kQueryBias, Role::kKeyBias, Role::kValueBias};
    case Role::kGateUp:
      return {Role::kGate, Role::kUp};
    default:
      return {role};
  }
}

/// The number of `role` among those of `rule`; nullopt when it is not one of them.
std::optional<size_t> index_in(const TensorRule& rule, Role role) {
  const std::vector<Role> roles = roles_of(rule.role);
  const auto found = std::find(roles.begin(), roles.end(), role);
  if (found == roles.end()) return std::nullopt;
  return static_cast<size_t>(found - roles.begin());
}

/// The rule of the tensor that holds `role`, whole or as a part; nullptr when the layer has none.
const TensorRule* find_rule(const ModelConfig& config, Role role, int64_t layer) {
  for (const TensorRule& rule : config.family->tensors) {
    const bool holds = rule.role == role || index_in(rule, role);
    if (holds && is_present(rule.presence, config, layer)) return &rule;
  }
  return nullptr;
}

/// Rows that `role` has in a tensor of several.
int64_t rows_of_part(Role role, const ModelConfig& config) {
  switch (role) {
    case Role::kQuery:
    case Role::kQueryBias:
      return config.query_size();
    case Role::kGate:
    case Role::kUp:
      return config.intermediate_size;
    default:
      return config.kv_size();
  }
}

bool is_per_layer(const TensorRule& rule) { return rule.name.find("{}") != std::string_view::npos; }

/// @param part  ignored where one tensor is for all
ExpectedTensor instance(const TensorRule& rule, const ModelConfig& config, int64_t layer,
                        int64_t part = 0) {
  ExpectedTensor tensor{.name = is_per_layer(rule)
                                    ? fmt::format(fmt::runtime(rule.name), layer, part)
                                    : std::string(rule.name),
                        .shape = {},
                        .rule = &rule,
                        .layer = is_per_layer(rule) ? layer : -1,
                        .part = rule.each == Dim::kNone ? -1 : part};
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

std::string_view serving_limit(const ModelConfig& config) {
  return config.group_size() > 1 ? config.family->serving_limit : std::string_view();
}

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
    case Dim::kHeads:
      return config.n_heads;
    case Dim::kKvHeads:
      return config.n_kv_heads;
    case Dim::kIntermediate:
      return config.intermediate_size;
    case Dim::kGateUp:
      return 2 * config.intermediate_size;
    case Dim::kOne:
      return 1;
    case Dim::kExperts:
      return config.experts.count;
    case Dim::kExpertIntermediate:
      return config.experts.intermediate_size;
    case Dim::kSharedIntermediate:
      return config.experts.shared_intermediate_size;
  }
  return 1;
}

std::vector<PartRows> parts_of(const TensorRule& rule, const ModelConfig& config) {
  const bool by_head = rule.shape[0] == Dim::kHeads || rule.shape[0] == Dim::kKvHeads;
  const int64_t all = value_of(rule.shape[0], config) * (by_head ? config.head_dim : 1);
  const std::vector<Role> roles = roles_of(rule.role);
  const int64_t n_runs = rule.rows == RowLayout::kGroups ? config.n_kv_heads : 1;
  std::vector<PartRows> parts;
  int64_t first = 0;
  for (const Role role : roles) {
    const int64_t count = roles.size() == 1 ? all : rows_of_part(role, config);
    const int64_t run = count / n_runs;
    parts.push_back(
        {.role = role, .count = count, .first = first, .run = run, .stride = all / n_runs});
    first += run;
  }
  return parts;
}

std::optional<PartPlace> find_part(const ModelConfig& config, Role role, int64_t layer) {
  const TensorRule* rule = find_rule(config, role, layer);
  if (rule == nullptr) return std::nullopt;
  PartPlace place{.tensor = instance(*rule, config, layer).name,
                  .rows = parts_of(*rule, config)[index_in(*rule, role).value_or(0)]};
  if (rule->each == Dim::kNone) return place;
  for (int64_t head = 0; head < value_of(rule->each, config); ++head) {
    place.heads.push_back(instance(*rule, config, layer, head).name);
  }
  place.rows.count = value_of(rule->each, config) * place.rows.run;
  place.rows.stride = 0;  // each run begins a tensor
  return place;
}

std::vector<ExpectedTensor> expected_tensors(const ModelConfig& config) {
  std::vector<ExpectedTensor> tensors;
  const auto rules = config.family->tensors;
  const auto first_layer_rule = std::find_if(rules.begin(), rules.end(), is_per_layer);
  const auto after_layers = std::find_if_not(first_layer_rule, rules.end(), is_per_layer);
  const auto add = [&](auto begin, auto end, int64_t layer) {
    for (auto rule = begin; rule != end; ++rule) {
      if (!is_present(rule->presence, config, layer)) continue;
      for (int64_t part = 0; part < value_of(rule->each, config); ++part) {
        tensors.push_back(instance(*rule, config, layer, part));
      }
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
  const TensorRule* rule = find_rule(config, role, layer);
  return rule == nullptr ? std::string() : instance(*rule, config, layer).name;
}

std::string part_name(const ModelConfig& config, Role role, int64_t layer) {
  const TensorRule* rule = find_rule(config, role, layer);
  if (rule == nullptr) return {};
  const std::string name = instance(*rule, config, layer).name;
  return rule->role == role ? name : fmt::format("{}:{}", name, *index_in(*rule, role));
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
