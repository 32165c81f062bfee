#pragma once

#include "regroup/checkpoint/model_folder.h"

namespace regroup {

/// Says on stderr what opening the folder showed.
void log_notices(const ModelFolder& folder);
/// Says on stderr which engines do not serve a conversion.
void warn_of_engines(const ModelConfig& after);

}  // namespace regroup
