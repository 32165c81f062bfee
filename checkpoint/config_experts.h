#pragma once

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"

namespace regroup {

/// Reads experts and which layers have them. Needs config.n_layers and config.intermediate_size.
/// @throws CheckpointError CFG_INCONSISTENT, CFG_OVERFLOW, CFG_RANGE, CFG_TYPE
void read_experts(const JsonFields& fields, ModelConfig& config);

}  // namespace regroup
