#pragma once

#include <functional>
#include <string>

namespace regroup {

/// Version 1 and 2 name the files of a control group differently.
enum class GroupVersion { kOne, kTwo };

/// Visits the folder of every control group that limits this process for `controller` ("memory", "cpu"): the one
/// it is in and all above it. Inside a container the path may be the host's: what is not there sets no
/// limit, and the mount's own root does.
/// @param root  where /proc and /sys are found; tests give a folder
void for_each_control_group(
    const std::string& root, const std::string& controller,
    const std::function<void(const std::string& folder, GroupVersion version)>& visit);

}  // namespace regroup
