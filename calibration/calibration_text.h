#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/convert/transform_request.h"

namespace regroup {

/// The calibration text as windows of token ids, int64 [windows, seq].
/// @param needed_tokens  what the matrices to be decomposed ask for
/// @throws CheckpointError TEXT_TOO_SHORT saying how many tokens are needed
at::Tensor calibration_windows(const ModelFolder& model, const CalibrationOptions& options,
                               int64_t needed_tokens);

}  // namespace regroup
