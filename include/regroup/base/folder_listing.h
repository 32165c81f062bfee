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

}  // namespace regroup
