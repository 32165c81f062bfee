#include "control_group.h"

#include <fstream>

namespace regroup {
namespace {

/// `mount``group`, then the groups above it up to the mount itself.
template <typename Visit>
void climb(const std::string& mount, std::string group, const Visit& visit) {
  while (true) {
    visit(mount + group);
    if (group.empty()) return;
    group.resize(group.find_last_of('/') == std::string::npos ? 0 : group.find_last_of('/'));
  }
}

}  // namespace

void for_each_control_group(
    const std::string& root, const std::string& controller,
    const std::function<void(const std::string& folder, GroupVersion version)>& visit) {
  const std::string mount = root + "/sys/fs/cgroup";
  const std::string wanted = "," + controller + ",";
  std::ifstream file(root + "/proc/self/cgroup");
  // Lines "hierarchy:controllers:/path"; version 2 has hierarchy 0 and no controllers.
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    if (controllers == ",,") {
      climb(mount, group, [&](const std::string& folder) { visit(folder, GroupVersion::kTwo); });
    } else if (controllers.find(wanted) != std::string::npos) {
      climb(mount + "/" + controller, group,
            [&](const std::string& folder) { visit(folder, GroupVersion::kOne); });
    }
  }
}

}  // namespace regroup
