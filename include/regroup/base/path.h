#pragma once

#include <string>

namespace regroup {

bool path_exists(const std::string& path);  ///< also true for a dangling link
/// True if `inner` is `outer` or lies inside it, links followed. Neither has to exist.
bool is_inside(const std::string& inner, const std::string& outer);
std::string parent_folder(const std::string& path);
/// "out/" is the folder "out"; its parent and its neighbour OUT.partial follow from that name.
std::string without_last_slash(std::string path);

}  // namespace regroup
