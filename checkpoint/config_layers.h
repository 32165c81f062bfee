#pragma once

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"

namespace regroup {

/// What differs from layer to layer; the config's family and n_layers are set.

/// Which layers see only the last `sliding_window` tokens.
/// @throws CheckpointError CFG_INCONSISTENT; UnsupportedError CFG_UNSUPPORTED
void read_window(const JsonFields& fields, ModelConfig& config);

/// Which layers have RoPE: no_rope_layers (1: it has), or all but every no_rope_layer_interval-th.
/// @throws CheckpointError CFG_INCONSISTENT
void read_turned_layers(const JsonFields& fields, ModelConfig& config);

}  // namespace regroup
