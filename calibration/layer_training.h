#pragma once

#include <cstdint>
#include <functional>

#include "regroup/checkpoint/config.h"
#include "regroup/model/layer.h"

namespace regroup {

/// One calibration batch of a layer.
struct LayerBatch {
  at::Tensor input;   ///< the normed residual stream, [windows, seq, hidden]
  at::Tensor wanted;  ///< what attention should add to the residual stream, the same shape
};

struct LayerTrainingOptions {
  int64_t steps = 0;
  int64_t batch = 0;         ///< windows a step
  double learning_rate = 0;  ///< size of a step relative to the weights' own
  int64_t warmup = 5;
  uint64_t seed = 0;
};

struct LayerTrainingResult {
  double held_out_before = 0;  ///< E|s - y|^2 / E|y|^2 on held-out windows
  double held_out_after = 0;
  int64_t kept_step = 0;  ///< the weights of this step were best there
};

/// Trains Wq, Wk, Wv and Wo (and biases where the model has them) of one converted layer so that its
/// attention adds to the residual stream what is wanted: normalised squared error, as in block-local
/// distillation (arXiv:2411.19146). Muon's orthogonalised momentum, head by head. Windows from
/// [0, n_train) are trained on; [n_train, n) decide which weights are kept.
LayerTrainingResult train_layer(const ModelConfig& config, LayerWeights& weights, int64_t layer,
                                const RopeTable& rope, int64_t n_train, int64_t n,
                                const std::function<LayerBatch(const std::vector<int64_t>&)>& batch,
                                const LayerTrainingOptions& options);

/// E|s - y|^2 / E|y|^2 over windows [first, last).
double layer_error(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                   const RopeTable& rope, int64_t first, int64_t last,
                   const std::function<LayerBatch(const std::vector<int64_t>&)>& batch);

}  // namespace regroup
