#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace regroup {

/// Bytes that this process can come to use on the host: memory and swap, or the smallest limit among the
/// control groups it is in (cgroup v1 and v2), whichever is less.
/// @param root  where /proc and /sys are found; tests give a folder
/// @return nullopt where the system does not say
std::optional<int64_t> host_memory_limit(const std::string& root = "");

/// What work on `device` can come to use: host_memory_limit(), or the memory of a GPU.
std::optional<int64_t> memory_limit(at::Device device);

/// @throws ConfigError NO_MEMORY when `bytes` are more than `device` has
/// @param what  "this run", for the message
/// @param hint  what would need less
void require_memory(int64_t bytes, at::Device device, const std::string& what,
                    const std::string& hint);

}  // namespace regroup
