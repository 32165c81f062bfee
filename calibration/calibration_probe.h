#pragma once

#include <ATen/core/Tensor.h>

#include "calibration_cost.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {

/// Runs a little of every stage on the model's first layer and measures how fast this machine is at it.
/// What it computes is dropped.
CalibrationRates measure_rates(const ModelFolder& model, const ConvertOptions& request,
                               const CalibrationSizes& sizes, at::Device device);

}  // namespace regroup
