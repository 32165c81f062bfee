#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/calibration/statistics.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/layer.h"

namespace regroup {

/// What layers read where there is no text: tokens drawn evenly from the vocabulary, run through the parent one
/// layer at a time. In float64, so that threads and processors do not show in the bytes of a conversion.
class VocabularyRun {
 public:
  /// Draws the tokens (kVocabularyTokens in windows of kVocabularyWindow) and reads their embeddings.
  VocabularyRun(const ModelFolder& model, uint64_t seed);

  /// Moments of what the attention of `layer` reads; then the tokens run through that layer. Where activations
  /// are not finite: what its weights alone say.
  /// @param weights  float64, of layers 0, 1, ... in turn
  LayerStatistics next(int64_t layer, const LayerWeights& weights);

 private:
  const ModelConfig& config_;
  RopeTable rope_;
  at::Tensor stream_;  // [windows, seq, hidden] float64
};

}  // namespace regroup
