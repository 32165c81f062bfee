#pragma once

#include <vector>

#include "calibration_meter.h"
#include "layer_training.h"
#include "output_refit.h"
#include "regroup/convert/calibrated.h"
#include "window_set.h"

namespace regroup {

/// What a squared error of each token counts for, [windows, seq, 1]: the next norm divides the residual
/// stream by its size, so an error counts relative to it. Without that the few tokens whose stream is a
/// hundred times the others', as the first position's often is, would decide a layer alone.
/// @param target  the residual stream that is wanted, [windows, seq, hidden]
at::Tensor token_weights(const at::Tensor& target, const ModelConfig& config);

/// Brings one converted layer after the other closer to what the parent's attention does, on the windows
/// of all sets: Wo by least squares, then training steps.
class LayerFit {
 public:
  /// @param sets  where the streams are: the parent's past the layer's attention, the converted one before it
  LayerFit(const ModelConfig& after, std::vector<WindowSet>& sets, const ConvertOptions& request,
           const CalibrationCost& cost, CalibrationMeter& meter);
  void improve(int64_t layer, LayerWeights& w, LayerReport& report);

 private:
  LayerBatch batch(const at::Tensor& x, const at::Tensor& target, const LayerWeights& w) const;
  std::vector<LayerWindows> windows(const LayerWeights& w) const;
  std::vector<LayerWindows> aimed_windows(const LayerWeights& w) const;
  OutputChange refit(int64_t layer, LayerWeights& w, LayerReport& report);
  void aim(const at::Tensor& carried, LayerReport& report);
  double held_out_error(int64_t layer, const LayerWeights& w, LayerReport& report);
  void train(int64_t layer, LayerWeights& w, const std::vector<LayerWindows>& windows,
             double before, LayerReport& report);
  void spare();
  void spend(double flops, LayerReport& report);

  const ModelConfig& after_;
  std::vector<WindowSet>& sets_;
  const CalibrationOptions& options_;
  uint64_t seed_;
  const CalibrationCost& cost_;
  CalibrationMeter& meter_;
};

}  // namespace regroup
