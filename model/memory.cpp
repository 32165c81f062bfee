#include "regroup/model/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>

#include "cuda_loader.h"
#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// The number a file begins with. A file that is absent or says "max" sets no limit.
int64_t limit_in(const std::string& path) {
  std::ifstream file(path);
  int64_t bytes = 0;
  return file >> bytes && bytes > 0 ? bytes : kUnlimited;
}

/// MemTotal + SwapTotal of /proc/meminfo, whose unit is KiB.
int64_t installed_memory(const std::string& path) {
  std::ifstream file(path);
  int64_t bytes = 0;
  for (std::string name, rest; file >> name; std::getline(file, rest)) {
    int64_t kib = 0;
    if ((name == "MemTotal:" || name == "SwapTotal:") && file >> kib) bytes += kib * 1024;
  }
  return bytes > 0 ? bytes : kUnlimited;
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

std::optional<int64_t> host_memory_limit(const std::string& root) {
  const int64_t bytes =
      std::min(installed_memory(root + "/proc/meminfo"), control_group_limit(root));
  return bytes == kUnlimited ? std::nullopt : std::optional(bytes);
}

std::optional<int64_t> memory_limit(at::Device device) {
  if (device.is_cpu()) return host_memory_limit();
  char name[128] = {};
  int64_t total = 0;
  require_cuda_module().describe(device.index(), name, sizeof(name), &total);
  return total;
}

void require_memory(int64_t bytes, at::Device device, const std::string& what,
                    const std::string& hint) {
  const std::optional<int64_t> limit = memory_limit(device);
  if (!limit || bytes <= *limit) return;
  throw ConfigError({.code = "NO_MEMORY",
                     .message = fmt::format("{} needs about {} of {} memory, there are {}", what,
                                            human_bytes(bytes), device.is_cpu() ? "host" : "GPU",
                                            human_bytes(*limit)),
                     .path = {},
                     .tensor = {},
                     .hint = hint});
}

}  // namespace regroup
