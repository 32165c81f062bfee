#include "regroup/checkpoint/host_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <limits>

namespace regroup {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// The number a file begins with. A file that is absent or says "max" sets no limit.
int64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  int64_t bytes = 0;
  return file >> bytes && bytes > 0 ? bytes : kUnlimited;
}

/// MemTotal of /proc/meminfo, whose unit is KiB.
int64_t installed_memory(const std::string& path) {
  std::ifstream file(path);
  for (std::string name, rest; file >> name; std::getline(file, rest)) {
    int64_t kib = 0;
    if (name == "MemTotal:" && file >> kib && kib > 0) return kib * 1024;
  }
  return kUnlimited;
}

/// The least limit of a group and all groups above it. Inside a container the path may be the host's: what
/// is not there sets no limit, and the mount's own root does.
int64_t least_limit(const std::string& mount, std::string group, const char* file) {
  int64_t least = kUnlimited;
  while (true) {
    least = std::min(least, limit_in(fmt::format("{}{}/{}", mount, group, file)));
    if (group.empty()) return least;
    group.resize(group.find_last_of('/') == std::string::npos ? 0 : group.find_last_of('/'));
  }
}

/// Lines "hierarchy:controllers:/path" of /proc/self/cgroup; version 2 has hierarchy 0 and no controllers.
int64_t control_group_limit(const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream file(root + "/proc/self/cgroup");
  int64_t least = kUnlimited;
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const std::string group = line.substr(second + 1) == "/" ? "" : line.substr(second + 1);
    if (controllers == ",,") {
      least = std::min(least, least_limit(mount, group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      least = std::min(least, least_limit(mount + "/memory", group, "memory.limit_in_bytes"));
    }
  }
  return least;
}

}  // namespace

std::optional<int64_t> host_memory(const std::string& root) {
  const int64_t bytes =
      std::min(installed_memory(root + "/proc/meminfo"), control_group_limit(root));
  return bytes == kUnlimited ? std::nullopt : std::optional(bytes);
}

}  // namespace regroup
