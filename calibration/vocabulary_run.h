#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/layer.h"
#include "statistics.h"

namespace regroup {

/// What layers read where there is no text: tokens drawn evenly from the vocabulary, run through the parent one
/// layer at a time. In float64: threads and processors change last bits alone, which the dtype of a checkpoint hides.
class VocabularyRun {
 public:
  /// Draws the tokens (kVocabularyTokens in windows of at most kVocabularyWindow) and reads their embeddings.
  /// @throws CheckpointError CALIBRATION_NONFINITE; UnsupportedError where attention cannot be computed
  VocabularyRun(const ModelFolder& model, uint64_t seed);

  /// Moments of what the attention of `layer` reads; then the tokens run through that layer.
  /// @param weights  float64, of layers 0, 1, ... in turn
  /// @throws CheckpointError CALIBRATION_NONFINITE naming the layer; StoppedError
  LayerStatistics next(int64_t layer, const LayerWeights& weights);

 private:
  const ModelFolder& model_;
  const ModelConfig& config_;
  RopeTables rope_;
  at::Tensor stream_;  // [windows, seq, hidden] float64
};

}  // namespace regroup
