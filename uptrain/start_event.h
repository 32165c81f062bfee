#pragma once

#include "regroup/results/training_log.h"
#include "run_setup.h"

namespace regroup {

/// What the event "start" says of a run.
TrainingStart training_start(const RunSetup& setup);

}  // namespace regroup
