#pragma once

#include <cstdint>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// Matrices that an MLP has, or one of several experts: hidden_size times its width each.
int64_t mlp_matrices(const ModelConfig& config);

/// Channels between the matrices of a layer's MLP: all that it has, or those that one token goes through. They differ where
/// a router chooses some of several experts.
struct MlpChannels {
  int64_t all = 0;
  int64_t of_token = 0;
};
MlpChannels mlp_channels(const ModelConfig& config, int64_t layer);
/// The most of any layer.
MlpChannels most_mlp_channels(const ModelConfig& config);

/// Weights of all layers' MLPs and routers, norms and biases left out: all, or those that one token is multiplied with.
struct MlpWeights {
  int64_t all = 0;
  int64_t of_token = 0;
};
MlpWeights mlp_weights(const ModelConfig& config);

/// Parameters that a token is multiplied with: all but the experts that its router does not choose.
int64_t active_parameters(const ModelConfig& config);

/// What of the parameters a step needs, where every token chooses its experts by chance and alike.
struct ExpertUse {
  double share = 0;   ///< of the parameters: those of experts that a router chooses from
  double chosen = 1;  ///< of a layer's experts, by one token

  /// Share of the parameters that a step over so many tokens reads: all of them leave an expert out with probability
  /// (1 - chosen)^tokens.
  double read(double tokens) const;
  /// Share of the parameters that a token is multiplied with.
  double computed() const { return 1 - share * (1 - chosen); }
};
ExpertUse expert_use(const ModelConfig& config);

}  // namespace regroup
