#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Every file below a folder, as "sub/name", sorted. Links to folders are not followed.
std::vector<std::string> files_below(const std::string& folder);

/// Makes the folders that `name` ("sub/name") needs below `folder`.
void make_folders(const std::string& folder, const std::string& name);

/// True for "name" and "sub/name": a path that stays below the folder it is taken in.
bool is_inner_path(const std::string& name);

}  // namespace regroup
