#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Names of `files` that are weights a Hugging Face folder of safetensors has: "model*.safetensors", in any
/// case, since another file system takes "Model-..." for the same file.
std::vector<std::string> model_shards(const std::vector<std::string>& files);

}  // namespace regroup
