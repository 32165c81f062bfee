#pragma once

#include <cstdint>

#include "group_merge.h"
#include "regroup/convert/transform_request.h"

namespace regroup {

/// How one layer is to be merged.
struct MergeRules {
  Method method = Method::kPca;
  Grouping grouping = Grouping::kResidual;
  int64_t n_kv_heads = 0;
  bool logit_gain = true;  ///< pca: restore the spread of the logits that merging flattens
  bool output_gain =
      false;  ///< pca: restore the energy of what a head writes to the residual stream
  uint64_t seed = 0;
};

struct LayerDecision {
  LayerTransform transform;
  Residual key;  ///< predicted from the moments
  Residual value;
};

MergeRules merge_rules(const TransformRequest& request, int64_t layer);

/// Decides how a layer's heads are merged, from its weights and the moments of its inputs.
LayerDecision decide_layer(const MergeRules& rules, const AttentionWeights& weights,
                           const LayerStatistics& statistics, const ModelConfig& parent);

/// What is reported of a layer that was only decided.
LayerReport report_of(int64_t layer, const LayerDecision& decision);

/// Predicted loss of keys (first) and values (second) of any transform whose key matrices commute
/// with RoPE.
std::pair<Residual, Residual> predict_residuals(const LayerTransform& transform,
                                                const HeadMoments& moments,
                                                const ModelConfig& parent, int64_t n_kv_heads);

}  // namespace regroup
