#include "regroup/base/host_memory.h"

#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>

#include "control_group.h"

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

}  // namespace

std::optional<int64_t> host_memory(const std::string& root) {
  int64_t bytes = installed_memory(root + "/proc/meminfo");
  for_each_control_group(root, "memory", [&](const std::string& folder, GroupVersion version) {
    const bool first = version == GroupVersion::kOne;
    bytes = std::min(bytes, limit_in(folder + (first ? "/memory.limit_in_bytes" : "/memory.max")));
  });
  return bytes == kUnlimited ? std::nullopt : std::optional(bytes);
}

int64_t peak_rss_bytes() {
  struct rusage usage = {};
  ::getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

}  // namespace regroup
