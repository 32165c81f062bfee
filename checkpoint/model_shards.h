#pragma once

#include <string>
#include <vector>

#include "model_folder_names.h"

namespace regroup {

/// Names of `files` that are weights a Hugging Face folder has in a format: "model*.safetensors", in any
/// case, since another file system takes "Model-..." for the same file.
std::vector<std::string> model_shards(const std::vector<std::string>& files,
                                      const WeightFormat& format = safetensors_format());

}  // namespace regroup
