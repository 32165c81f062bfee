#pragma once

#include "progress.h"
#include "regroup/convert/calibrated.h"

namespace regroup {

/// Says on `line` what a calibration is going to take, and how far it is.
/// @param doing  stands before it; "" for the only conversion of a command
CalibrationProgress calibration_progress(ProgressLine& line, const std::string& doing);

/// The same where there is no text: merges layer by layer.
LayerProgress layer_progress(ProgressLine& line, const std::string& doing);

}  // namespace regroup
