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
  CalibrationCost(const ModelConfig& parent, const ConvertOptions& request,
                  const CalibrationSizes& sizes);

  /// One layer of the parent over `tokens` in windows of `seq`.
  double parent(int64_t tokens, int64_t seq) const;
  /// The second moment of a layer's inputs.
  double moment(int64_t tokens) const;
  /// What Wo by least squares takes for so many tokens,
  double refit(int64_t tokens, int64_t seq) const;
  /// and for those of all sets.
  double refit() const;
  /// What training is to reach, for so many tokens,
  double aim(int64_t tokens) const;
  /// and for those of all sets.
  double aim() const;
  /// The error of the converted attention on all that is held out.
  double look() const;
  /// One training step, on windows of every set
  double step() const;
  /// and of one.
  double step(const WindowSizes& set) const;
  /// One layer of the converted model.
  double converted(int64_t tokens, int64_t seq) const;
  /// One layer of every model whose gains are tried, over the held-out tokens.
  double trial() const;
  /// Their losses, at the end.
  double trial_losses() const;
  /// What the held-out windows say of the whole converted model as its layers were fitted,
  double quality() const;
  /// and as it is in memory.
  double look_at_network() const;
  /// One step of all layers together, and all such steps with their looks.
  double distill_step() const;
  double distillation() const;

  /// Of everything: what runs forward, and what trains.
  double forward() const;
  double training() const;
  double total() const { return forward() + training() + distillation(); }
  double seconds(const CalibrationRates& rates) const;

 private:
  double beside_flops() const;
  template <typename Cost>
  double over_sets(const Cost& cost) const {
    double sum = 0;
    for (const WindowSizes& set : sizes_.sets) sum += cost(set);
    return sum;
  }
  double layer_forward(int64_t layer) const;
  double last_layer() const;
  double held_out_layer() const;
  double held_out_logits() const;
  double head() const;
  double tried_tokens() const;

  ModelConfig before_;
  ModelConfig after_;
  CalibrationOptions options_;
  CalibrationSizes sizes_;
  int64_t tried_ = 0;  ///< models whose gains are tried
};

/// How often held-out windows are looked at while all layers are trained together.
int64_t distill_looks(int64_t steps);

/// FLOPs of training `config` on one token of its pretraining: windows of its context, at most 4,096.
double pretraining_flops(const ModelConfig& config);

}  // namespace regroup
