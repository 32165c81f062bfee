#pragma once

#include <string>
#include <vector>

namespace regroup {

/// What a folder holds, links followed.
struct FolderListing {
  std::vector<std::string> files;    ///< sorted; also what is neither file nor folder
  std::vector<std::string> folders;  ///< sorted
};

/// @throws CheckpointError IO_READ_ERROR when the folder may not be read
FolderListing list_folder(const std::string& path);

/// Names of `files` that are weights a Hugging Face folder of safetensors has: "model*.safetensors", in any
/// case, since another file system takes "Model-..." for the same file.
std::vector<std::string> model_shards(const std::vector<std::string>& files);

}  // namespace regroup
