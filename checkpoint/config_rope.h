#pragma once

#include "regroup/checkpoint/rope.h"
#include "regroup/checkpoint/strict_json.h"

namespace regroup {

/// Reads the rotary settings of a config.json in the spellings of transformers 4.x (rope_theta,
/// rope_scaling) and 5.x (rope_parameters). Where both stand they must agree.
/// @throws CheckpointError CFG_RANGE, CFG_TYPE, CFG_INCONSISTENT; UnsupportedError CFG_UNSUPPORTED
RopeConfig read_rope(const JsonFields& fields, int64_t max_positions);

}  // namespace regroup
