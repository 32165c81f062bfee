#include "regroup/base/folder_tree.h"

#include <algorithm>
#include <filesystem>

#include "regroup/base/folder.h"
#include "regroup/base/path.h"

namespace regroup {

namespace fs = std::filesystem;

std::vector<std::string> files_below(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_directory() && !entry.is_symlink()) continue;
    names.push_back(entry.path().lexically_relative(folder).string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

void make_folders(const std::string& folder, const std::string& name) {
  for (size_t slash = name.find('/'); slash != std::string::npos;
       slash = name.find('/', slash + 1)) {
    const std::string path = folder + "/" + name.substr(0, slash);
    if (is_folder(path)) continue;
    make_folder(path);
    sync_folder(parent_folder(path));
  }
}

bool is_inner_path(const std::string& name) {
  const fs::path path(name);
  return !name.empty() && name.find("//") == std::string::npos && path.is_relative() &&
         std::none_of(path.begin(), path.end(), [](const fs::path& part) {
           return part.empty() || part == "." || part == "..";
         });
}

}  // namespace regroup
