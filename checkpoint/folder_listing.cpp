#include "folder_listing.h"

#include <dirent.h>
#include <fmt/format.h>
#include <strings.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"

namespace regroup {

FolderListing list_folder(const std::string& path) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(path.c_str()));
  if (!dir) {
    throw CheckpointError({.code = "IO_READ_ERROR",
                           .message = fmt::format("cannot be read: {}", std::strerror(errno)),
                           .path = path,
                           .tensor = {},
                           .hint = "give this user the right to read and enter the folder"});
  }
  FolderListing listing;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    (is_folder(path + "/" + name) ? listing.folders : listing.files).push_back(name);
  }
  std::sort(listing.files.begin(), listing.files.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

std::vector<std::string> model_shards(const std::vector<std::string>& files) {
  std::vector<std::string> shards;
  std::copy_if(files.begin(), files.end(), std::back_inserter(shards), [](const std::string& name) {
    return ::strncasecmp(name.c_str(), "model", 5) == 0 && name.ends_with(".safetensors");
  });
  return shards;
}

}  // namespace regroup
