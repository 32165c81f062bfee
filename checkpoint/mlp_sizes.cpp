#include "regroup/checkpoint/mlp_sizes.h"

#include <algorithm>
#include <cmath>

#include "regroup/checkpoint/family.h"

namespace regroup {
namespace {

int64_t router_weights(const ModelConfig& config) {
  const int64_t shared = config.experts.shared_is_gated ? 1 : 0;
  return (config.experts.count + shared) * config.hidden_size;
}

}  // namespace

int64_t mlp_matrices(const ModelConfig& config) { return config.family->block.gated ? 3 : 2; }

MlpChannels mlp_channels(const ModelConfig& config, int64_t layer) {
  if (!config.has_experts(layer)) return {config.intermediate_size, config.intermediate_size};
  const Experts& experts = config.experts;
  const int64_t shared = experts.shared_intermediate_size;
  return {.all = experts.count * experts.intermediate_size + shared,
          .of_token = experts.per_token * experts.intermediate_size + shared};
}

MlpChannels most_mlp_channels(const ModelConfig& config) {
  MlpChannels most;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const MlpChannels channels = mlp_channels(config, layer);
    most.all = std::max(most.all, channels.all);
    most.of_token = std::max(most.of_token, channels.of_token);
  }
  return most;
}

MlpWeights mlp_weights(const ModelConfig& config) {
  const int64_t a_channel = mlp_matrices(config) * config.hidden_size;
  MlpWeights weights;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const MlpChannels channels = mlp_channels(config, layer);
    const int64_t router = config.has_experts(layer) ? router_weights(config) : 0;
    weights.all += a_channel * channels.all + router;
    weights.of_token += a_channel * channels.of_token + router;
  }
  return weights;
}

int64_t active_parameters(const ModelConfig& config) {
  const MlpWeights weights = mlp_weights(config);
  return count_parameters(config) - (weights.all - weights.of_token);
}

double ExpertUse::read(double tokens) const { return 1 - share * std::pow(1 - chosen, tokens); }

ExpertUse expert_use(const ModelConfig& config) {
  const Experts& experts = config.experts;
  if (experts.count == 0) return {};
  int64_t layers = 0;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) layers += config.has_experts(layer);
  const int64_t weights = layers * experts.count * mlp_matrices(config) * config.hidden_size *
                          experts.intermediate_size;
  return {.share = static_cast<double>(weights) / static_cast<double>(count_parameters(config)),
          .chosen = static_cast<double>(experts.per_token) / static_cast<double>(experts.count)};
}

}  // namespace regroup
