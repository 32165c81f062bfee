#pragma once

#include <ATen/core/Tensor.h>

#include "calibration_cost.h"
#include "regroup/checkpoint/model_folder.h"
#include "regroup/convert/calibrated.h"

namespace regroup {

/// A calibration before it starts: its tokens in windows, every number decided.
struct CalibrationSetup {
  std::vector<at::Tensor> ids;  ///< int64 [windows, seq] of each set
  at::Tensor fresh;             ///< int64 [windows, seq] of text that is in no set
  CalibrationOptions options;   ///< with the numbers that were left open
  CalibrationSizes sizes;
  CalibrationRates rates;
};

/// Reads the text, measures this machine and spreads the budget if there is one.
/// @throws CheckpointError TEXT_TOO_SHORT saying how many tokens are needed; ConfigError
/// CALIBRATION_BUDGET
CalibrationSetup set_up_calibration(const ModelFolder& model, const ConvertOptions& request,
                                    at::Device device, const TextProgress& writes);

CalibrationForecast forecast(const CalibrationSetup& setup, const CalibrationCost& cost,
                             int64_t n_layers);

}  // namespace regroup
