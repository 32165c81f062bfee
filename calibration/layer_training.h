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
  /// [windows, seq, 1]: what a squared error of a token counts for
  at::Tensor weight;
};

/// The batch of the given windows.
using LayerBatchSource = std::function<LayerBatch(const std::vector<int64_t>&)>;

/// Windows of one length that a layer is fitted to.
struct LayerWindows {
  int64_t n_train = 0;  ///< the first of them are trained on, the others held out
  int64_t n = 0;
  int64_t step_windows = 0;  ///< of a training step
  int64_t at_once = 1;       ///< of a look at those held out
  double share = 1;          ///< of the loss; those of all sets add up to 1
  const RopeTables* rope = nullptr;
  LayerBatchSource batch;
};

/// How often held-out windows are looked at while a layer is trained.
inline constexpr int64_t kLooksAtHeldOut = 8;

struct LayerTrainingOptions {
  int64_t steps = 0;         ///< at most
  double learning_rate = 0;  ///< size of a step relative to the weights' own
  int64_t warmup = 5;
  uint64_t seed = 0;
  int64_t looks = kLooksAtHeldOut;                  ///< 0: none, the last weights are kept
  std::function<void(int64_t steps)> stepped = {};  ///< called after every step, may throw
};

struct LayerTrainingResult {
  double held_out = 0;  ///< layer_error(), the smallest seen
  int64_t steps = 0;    ///< done
  int64_t looks = 0;
};

/// Trains Wq, Wk, Wv and Wo (and biases where the model has them) of one converted layer so that its
/// attention adds to the residual stream what is wanted: normalised squared error, as in block-local
/// distillation (arXiv:2411.19146). Muon's orthogonalised momentum, head by head. A step takes windows
/// of every set. Held-out windows decide which weights are kept, and end the training when they no longer
/// gain from it.
/// @param held_out_before  their error now
LayerTrainingResult train_layer(const ModelConfig& config, LayerWeights& weights, int64_t layer,
                                const std::vector<LayerWindows>& sets, double held_out_before,
                                const LayerTrainingOptions& options);

/// E w|s - y|^2 / E w|y|^2 over the held-out windows of each set, by their shares.
double layer_error(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                   const std::vector<LayerWindows>& sets);

}  // namespace regroup
