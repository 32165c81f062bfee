#pragma once

#include "regroup/base/strict_json.h"

namespace regroup {

struct ModelFamily;

/// The family that model_type names.
/// @throws UnsupportedError CFG_UNSUPPORTED; CheckpointError CFG_MISSING_KEY
const ModelFamily* read_family(const JsonFields& fields);

/// Things that change what the weights mean and that regroup does not compute.
/// @throws UnsupportedError CFG_UNSUPPORTED, CFG_QUANTIZED
void refuse_unsupported(const JsonFields& fields, const ModelFamily& family);

}  // namespace regroup
