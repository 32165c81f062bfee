#pragma once

#include <optional>
#include <string>
#include <vector>

#include "activation_store.h"
#include "calibrated_layer.h"
#include "output_head.h"
#include "regroup/model/layer.h"

namespace regroup {

/// The first is what a conversion has when nothing decides. The others are for a trial: those of the
/// gains that are `auto`, if there is text and the closed form is the last stage.
std::vector<Gains> gain_candidates(const ConvertOptions& request);

/// `transform` with the gains that `gains` names; the others become 1.
LayerTransform with_gains(LayerTransform transform, const Gains& gains);

/// The gains that a trial chose, in a folder of finished layers: with other threads or on another device
/// a second trial might decide otherwise. @return nothing when there are none
std::optional<Gains> load_gains(const std::string& folder);
void save_gains(const std::string& folder, const Gains& gains);

/// Index of the smallest finite number; nothing without one.
std::optional<size_t> smallest_finite(const std::vector<double>& numbers);

/// Held-out windows on their way through one converted model for each candidate, layer by layer, to
/// find the gains that lose least at the end.
class GainTrial {
 public:
  /// @param ids  [windows, seq]
  GainTrial(const ModelFolder& model, int64_t n_kv_heads, std::vector<Gains> candidates,
            const at::Tensor& ids, const std::string& scratch, at::Device device);
  /// The windows of `embedded` from `first_window` on are the inputs of layer 0.
  void start(const ActivationStore& embedded, int64_t first_window);
  /// @param transform  of this layer, with both gains
  void add_layer(int64_t layer, const LayerWeights& weights, const AttentionWeights& wide,
                 const LayerTransform& transform);
  /// The candidate with the smallest next-token loss after the last layer.
  /// @throws CheckpointError CALIBRATION_NONFINITE when none has a finite one; StoppedError
  Gains best() const;

 private:
  double loss(const ActivationStore& stream, const OutputHead& head) const;

  const ModelFolder& model_;
  ModelConfig after_;
  std::vector<Gains> candidates_;
  at::Tensor ids_;
  at::Device device_;
  RopeTables rope_;
  std::vector<ActivationStore> streams_;  // by candidate
};

}  // namespace regroup
