// Tensors that the table does not have, and which key of config.json would.
#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tensor_check.h"

namespace regroup {
namespace {

/// Whether `name` is that of a tensor of `rule`, whatever its head.
bool is_of(const TensorRule& rule, const std::string& name, int64_t layer) {
  if (rule.each == Dim::kNone) return fmt::format(fmt::runtime(rule.name), layer) == name;
  const std::string_view pattern = rule.name;
  const size_t head = pattern.rfind("{}");
  return name.starts_with(fmt::format(fmt::runtime(pattern.substr(0, head)), layer)) &&
         name.ends_with(pattern.substr(head + 2));
}

/// The key without which the tensor of that name is not there; none for a tensor of another family, or of a head too many.
PresenceKey key_of(const ModelConfig& config, const std::string& name, int64_t layer) {
  for (const TensorRule& rule : config.family->tensors) {
    if (rule.each != Dim::kNone && config.attention.normalises_keys()) continue;
    const PresenceKey key = key_of(rule.presence, *config.family);
    if (!key.key.empty() && is_of(rule, name, layer)) return key;
  }
  return {};
}

}  // namespace

std::vector<ErrorInfo> explain_unexpected(const TensorCheck& check,
                                          const std::vector<std::string>& unexpected) {
  const ModelConfig& config = check.config;
  std::vector<ErrorInfo> problems;
  std::set<std::string> keys;
  int64_t layers = 0;
  for (const std::string& name : unexpected) {
    const int64_t layer = layer_of(*config.family, name);
    if (layer >= config.n_layers) {
      layers = std::max(layers, layer + 1);
    } else if (const auto [key, what] = key_of(config, name, layer); !key.empty()) {
      if (!keys.insert(std::string(key)).second) continue;
      problems.push_back(
          {.code = "CFG_TENSOR_UNEXPECTED",
           .message = fmt::format("{} must be true, as the weights have {} ({}, ...)", key, what,
                                  printable(name)),
           .path = check.config_path(),
           .hint = fmt::format("set {} to true if the model uses them", key)});
    } else if (config.tie_word_embeddings && name == rule_name(*config.family, Role::kLmHead)) {
      problems.push_back(
          {.code = "CFG_TIE",
           .message = "must be absent, or a copy of the embedding, when config.json has "
                      "tie_word_embeddings true",
           .path = check.shard_paths[check.files.at(name).shard],
           .tensor = name,
           .hint = "transformers 4.x ties and drops it, 5.x does not; remove it, or set "
                   "tie_word_embeddings to false"});
    } else {
      problems.push_back({.code = "CFG_TENSOR_UNEXPECTED",
                          .message = fmt::format("is no tensor of {}", config.architecture),
                          .path = check.shard_paths[check.files.at(name).shard],
                          .tensor = name,
                          .hint = "check model_type in config.json, or remove the tensor"});
    }
  }
  if (layers == 0) return problems;
  problems.push_back(
      {.code = "CFG_TENSOR_UNEXPECTED",
       .message = fmt::format("num_hidden_layers is {}, but the tensors are those of {} layers",
                              config.n_layers, layers),
       .path = check.config_path(),
       .hint = fmt::format("set num_hidden_layers to {} if the model has all of them", layers)});
  return problems;
}

}  // namespace regroup
