#pragma once

#include <cstdint>

#include "regroup/convert/calibration_sizes.h"

namespace regroup {

/// How fast this machine is at it.
struct CalibrationRates {
  double flops_per_s = 0;  ///< of everything that runs forward
  double step_s = 0;       ///< a training step
  double layer_s = 0;      ///< what a layer takes whatever the tokens: reading, deciding, folding
};

/// FLOPs of calibration, from sizes alone; decompositions are left out. Multiply-adds count twice.
class CalibrationCost {
 public:
  CalibrationCost(const ModelConfig& parent, const TransformRequest& request,
                  const CalibrationSizes& sizes);

  /// One layer of the parent over `tokens`, and the second moment of its inputs.
  double parent(int64_t tokens) const;
  /// The second moment of a layer's inputs.
  double moment(int64_t tokens) const;
  /// Wo by least squares.
  double refit(int64_t tokens) const;
  /// The error of the converted attention.
  double look(int64_t tokens) const;
  /// One training step.
  double step() const;
  /// One layer of the converted model.
  double converted(int64_t tokens) const;
  /// One layer of every model whose gains are tried, over the held-out tokens.
  double trial() const;
  /// Their losses, at the end.
  double trial_losses() const;

  /// Of everything: what runs forward, and what trains.
  double forward() const;
  double training() const;
  double total() const { return forward() + training(); }
  double seconds(const CalibrationRates& rates) const;

 private:
  double layer_forward(int64_t layer) const;

  double tried_tokens() const;

  ModelConfig before_;
  ModelConfig after_;
  CalibrationOptions options_;
  CalibrationSizes sizes_;
  int64_t tried_ = 0;  ///< models whose gains are tried
};

/// FLOPs of training `config` on one token of its pretraining: windows of its context, at most 4,096.
double pretraining_flops(const ModelConfig& config);

}  // namespace regroup
