#pragma once

#include "eval_tasks.h"

namespace regroup {

/// Takes out what the context of some model has no room for, of all models, so that all are asked the same questions, and
/// warns of it.
/// @return whether there was any; then the task's requests must be encoded anew
/// @throws CheckpointError, or ConfigError where answers are written, TASK_TOO_LONG  no question is left
bool leave_out_too_long(OpenedTask& task, const EvalModels& models);

}  // namespace regroup
