#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace regroup {

/// Bytes of memory that this process can come to use: what the machine has, or the smallest limit among the
/// control groups that it is in (cgroup v1 and v2). Swap is not counted.
/// @param root  where /proc and /sys are found; tests give a folder
/// @return nullopt where the system does not say
std::optional<int64_t> host_memory(const std::string& root = "");

/// The largest resident size this process has had, in bytes.
int64_t peak_rss_bytes();

}  // namespace regroup
