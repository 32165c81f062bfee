#include "regroup/base/processors.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string_view>
#include <thread>

#include "control_group.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
constexpr double kMaxThreads = 1 << 20;

/// Processors that the scheduler may put this process on (taskset, cpusets).
int allowed_processors() {
  for (size_t size = 1024; size <= (size_t{1} << 20); size *= 2) {
    cpu_set_t* set = CPU_ALLOC(size);
    const size_t bytes = CPU_ALLOC_SIZE(size);
    const bool known = set != nullptr && ::sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;  // else the machine has more processors than the set has bits
  }
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

/// Microseconds of a period, in processors; without a limit the quota is "max" (version 2) or -1.
double share(std::istream& quota_file, std::istream& period_file) {
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period)) return kUnlimited;
  return quota > 0 && period > 0 ? quota / period : kUnlimited;
}

double quota_of(const std::string& folder, GroupVersion version) {
  if (version == GroupVersion::kTwo) {
    std::ifstream file(folder + "/cpu.max");  // "quota period"
    return share(file, file);
  }
  std::ifstream quota(folder + "/cpu.cfs_quota_us");
  std::ifstream period(folder + "/cpu.cfs_period_us");
  return share(quota, period);
}

/// The first number of a list such as "4,2", which has one for each level of nesting.
double openmp_threads() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  if (text == nullptr) return kUnlimited;
  std::string_view list(text);
  list.remove_prefix(std::min(list.find_first_not_of(" \t"), list.size()));
  int threads = 0;
  std::from_chars(list.data(), list.data() + list.size(), threads);
  return threads > 0 ? threads : kUnlimited;
}

}  // namespace

int usable_threads(const std::string& root) {
  double min = std::min<double>(allowed_processors(), openmp_threads());
  for_each_control_group(root, "cpu", [&](const std::string& folder, GroupVersion version) {
    min = std::min(min, quota_of(folder, version));
  });
  // All threads of a group are stopped together when its quota is spent: one more than it feeds costs a little,
  // half a processor left idle costs more (bench/quota).
  return std::max(1, static_cast<int>(std::lround(std::min(min, kMaxThreads))));
}

std::string processor_name(const std::string& root) {
  std::ifstream file(root + "/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos)
      return printable(line.substr(colon + 2), 100);
  }
  return {};
}

}  // namespace regroup
