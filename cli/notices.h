#pragma once

#include "regroup/checkpoint/model_folder.h"

namespace regroup {

/// Says on stderr what opening the folder showed.
void log_notices(const ModelFolder& folder);

}  // namespace regroup
