#pragma once

#include <optional>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/rope.h"

namespace regroup {

struct ModelFamily;

/// Reads the rotary settings of a config.json in the spellings of transformers 4.x (rope_theta,
/// rope_scaling) and 5.x (rope_parameters). Where both stand they must agree.
/// @throws CheckpointError CFG_RANGE, CFG_TYPE, CFG_INCONSISTENT; UnsupportedError CFG_UNSUPPORTED
RopeConfig read_rope(const JsonFields& fields, const ModelFamily& family, int64_t max_positions);

/// The same of layers with a window (SlidingRope::kOwn); nothing where it is `full`, that of the others.
std::optional<RopeConfig> read_sliding_rope(const JsonFields& fields, const ModelFamily& family,
                                            const RopeConfig& full, int64_t max_positions);

/// With longrope: one factor a rotary plane, for short and for long sequences.
/// @throws CheckpointError CFG_INCONSISTENT
void require_factors(const RopeConfig& rope, int64_t rotary_dim, const std::string& path);

/// That no division by 0 or overflow makes an angle, or what attention is multiplied by, no number.
/// @throws CheckpointError CFG_RANGE
void require_finite_angles(const RopeConfig& rope, int64_t rotary_dim, int64_t max_positions,
                           const std::string& path);

/// How many channels of a head position turns: int(head_dim * partial_rotary_factor), as transformers
/// rounds.
/// @throws as read_rope, also when the number is odd or 0
int64_t read_rotary_dim(const JsonFields& fields, const ModelFamily& family, int64_t head_dim);

}  // namespace regroup
