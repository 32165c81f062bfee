#pragma once

#include <cstdint>

#include "group_merge.h"
#include "regroup/convert/calibrated.h"
#include "regroup/convert/convert_options.h"

namespace regroup {

struct LayerDecision {
  LayerTransform transform;
  Residual key;  ///< predicted from the moments
  Residual value;
};

/// Decides how a layer's heads are merged, from its weights and the moments of its inputs.
LayerDecision decide_layer(const ConvertOptions& request, int64_t layer,
                           const AttentionWeights& weights, const LayerStatistics& statistics,
                           const ModelConfig& parent);

/// What is reported of a layer that was only decided.
LayerReport report_of(int64_t layer, const LayerDecision& decision);

/// Predicted loss of keys (first) and values (second) of any transform whose key matrices commute
/// with RoPE.
std::pair<Residual, Residual> predict_residuals(const LayerTransform& transform,
                                                const HeadMoments& moments,
                                                const ModelConfig& parent, int64_t n_kv_heads);

}  // namespace regroup
