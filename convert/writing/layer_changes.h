#pragma once

#include "regroup/convert/convert_options.h"
#include "regroup/convert/head_transform.h"

namespace regroup {

/// Which weights of a layer's attention a conversion changes.
struct LayerChanges {
  bool keys_or_values = false;  ///< even with one member a group
  bool queries = false;
  bool outputs = false;
};

LayerChanges changes_of(const LayerTransform& transform);

/// What the transforms that `request` asks for will change in any layer, before weights are read.
/// @param request  as options_for() gives it
LayerChanges expected_changes(const ModelConfig& parent, const ConvertOptions& request);

/// Whether calibration will write the weights of attention as a whole, beyond what transforms say.
bool expects_new_weights(const ConvertOptions& request);

}  // namespace regroup
