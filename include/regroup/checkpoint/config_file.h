#pragma once

#include <string>

#include "regroup/checkpoint/file.h"

namespace regroup {

/// Opens a config.json to be parsed. @throws CheckpointError CFG_MISSING, LIMIT_FILE_SIZE
InputFile open_config_file(const std::string& path);

}  // namespace regroup
