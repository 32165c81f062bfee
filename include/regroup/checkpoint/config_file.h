#pragma once

#include <string>

#include "regroup/base/input_file.h"

namespace regroup {

/// Opens a config.json to be parsed. @throws CheckpointError CFG_MISSING, LIMIT_FILE_SIZE
InputFile open_config_file(const std::string& path);

}  // namespace regroup
