#include "layer_changes.h"

#include "regroup/convert/legality.h"

namespace regroup {

LayerChanges changes_of(const LayerTransform& transform) {
  return {.keys_or_values = transform.changes_keys_or_values(),
          .queries = transform.changes_queries(),
          .outputs = transform.changes_outputs()};
}

LayerChanges expected_changes(const ModelConfig& parent, const ConvertOptions& request) {
  const bool moves = moves_heads(request.method, request.chosen_grouping());
  const bool turns = request.method == Method::kAlign || request.method == Method::kAlignNorm ||
                     request.method == Method::kPca;
  // Where queries take no gain they change by moving alone.
  return {.keys_or_values = true,
          .queries = moves || (turns && why_no_logit_gain(parent).empty()),
          .outputs = moves || turns};
}

bool expects_new_weights(const ConvertOptions& request) {
  return !request.calibration.files.empty() && request.calibration.refits();
}

}  // namespace regroup
