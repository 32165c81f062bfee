#pragma once

#include <string>

namespace regroup {

/// CPU threads that this process gains from: the fewest of the processors it may run on, the smallest CPU
/// quota among its control groups (cgroup v1 and v2), and OMP_NUM_THREADS, to the nearest number. At least 1.
/// @param root  where /proc and /sys are found; tests give a folder
int usable_threads(const std::string& root = "");

/// What the system calls the processor: "AMD EPYC"; "" where it says nothing.
/// @param root  likewise
std::string processor_name(const std::string& root = "");

}  // namespace regroup
