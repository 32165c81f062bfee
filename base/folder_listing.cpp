#include "regroup/base/folder_listing.h"

#include <dirent.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "regroup/base/error.h"
#include "regroup/base/folder.h"

namespace regroup {
namespace {

[[noreturn]] void refuse_to_list(const std::string& path, const std::string& hint) {
  throw CheckpointError({.code = "IO_READ_ERROR",
                         .message = fmt::format("cannot be read: {}", std::strerror(errno)),
                         .path = path,
                         .hint = hint});
}

/// The next entry, or null at the end.
const dirent* next_entry(DIR* dir, const std::string& path) {
  errno = 0;  // the end and an error both give null
  const dirent* entry = ::readdir(dir);
  if (entry == nullptr && errno != 0) {
    refuse_to_list(path, "check the disk or the network file system, then run the command again");
  }
  return entry;
}

}  // namespace

FolderListing list_folder(const std::string& path) {
  struct Close {
    void operator()(DIR* dir) const { ::closedir(dir); }
  };
  const std::unique_ptr<DIR, Close> dir(::opendir(path.c_str()));
  if (!dir) refuse_to_list(path, "give this user the right to read and enter the folder");
  FolderListing listing;
  while (const dirent* entry = next_entry(dir.get(), path)) {
    const std::string name = entry->d_name;
    if (name == "." || name == "..") continue;
    (is_folder(path + "/" + name) ? listing.folders : listing.files).push_back(name);
  }
  std::sort(listing.files.begin(), listing.files.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

}  // namespace regroup
