#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "calibration_cost.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/layer.h"
#include "statistics.h"
#include "window_set.h"

namespace regroup {

/// The residual streams of parent and conversion, over every window of a calibration, layer by layer: what a layer's statistics
/// are taken of, and what layers above it read.
class ResidualStreams {
 public:
  /// What a layer's statistics must hold.
  struct Wanted {
    bool moments = true;  ///< of the parent's inputs; false: the caller takes converted_moment()
    bool norms = false;   ///< of the heads' outputs
  };

  /// @param after  the config of the conversion
  /// @param sets   the text's first; each holds its windows' streams
  /// @param spend  told the FLOPs of what runs
  ResidualStreams(const ModelFolder& model, const ModelConfig& after,
                  const CalibrationOptions& options, const CalibrationCost& cost,
                  std::vector<WindowSet>& sets, std::function<void(double)> spend);

  /// Both at the embedding of every window.
  void embed();

  /// Moves the parent's stream through the attention of `layer`, and takes statistics on the windows that are worked on.
  /// @throws CheckpointError CALIBRATION_NONFINITE naming the layer
  LayerStatistics through_parent_attention(int64_t layer, const LayerWeights& w,
                                           const Wanted& wanted);

  /// The moment of what the converted layers below hand to a layer, [hidden, hidden] float64.
  at::Tensor converted_moment(const LayerWeights& w);

  /// Moves both to the end of `layer`; the MLP is the same. Of the last layer, only windows that are measured.
  /// @param own  the converted weights
  void advance(int64_t layer, const LayerWeights& own, const LayerWeights& w);

 private:
  struct Sums;
  void through_parent_attention(int64_t layer, const LayerWeights& w, WindowSet& set, Sums& sums);
  void require_finite(const at::Tensor& finite, int64_t layer) const;
  at::Tensor head_norms(const LayerWeights& w, const at::Tensor& heads) const;
  void advance_last(const LayerWeights& own, const LayerWeights& w);
  void advance_parent(const LayerWeights& w, WindowSet& set, int64_t first_window);
  void advance_converted(int64_t layer, const LayerWeights& own, WindowSet& set,
                         int64_t first_window);

  const ModelFolder& model_;
  const ModelConfig& config_;
  const ModelConfig& after_;
  const CalibrationOptions& options_;
  const CalibrationCost& cost_;
  std::vector<WindowSet>& sets_;
  std::function<void(double)> spend_;
};

}  // namespace regroup
