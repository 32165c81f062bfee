#pragma once

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <cstdint>

#include "regroup/convert/calibrate.h"

namespace regroup {

inline constexpr int64_t kCalibrationTokensAtOnce = 2048;  ///< of the windows that are run together

/// Of so many windows, the last ones, which decide and are not worked on: one in ten.
inline int64_t held_out_windows(int64_t windows) { return std::max<int64_t>(1, windows / 10); }

int64_t calibration_seq_len(const ModelConfig& config, const CalibrationOptions& options);

/// The calibration text as windows of token ids, int64 [windows, seq].
/// @param needed_tokens  what the matrices to be decomposed ask for
/// @throws CheckpointError TEXT_TOO_SHORT saying how many tokens are needed
at::Tensor calibration_windows(const ModelFolder& model, const CalibrationOptions& options,
                               int64_t needed_tokens);

}  // namespace regroup
