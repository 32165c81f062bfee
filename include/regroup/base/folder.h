#pragma once

#include <string>

#include "regroup/base/file_descriptor.h"

namespace regroup {

bool is_folder(const std::string& path);
void make_folder(const std::string& path);
void sync_folder(const std::string& path);
/// Holds `folder` for this process until the descriptor is closed; the lock is the file `.lock` in it.
/// @throws ConfigError LOCKED when another process holds it
FileDescriptor lock_folder(const std::string& folder);
/// Removes a file or a tree. @throws OutputError
void remove_tree(const std::string& path);

}  // namespace regroup
