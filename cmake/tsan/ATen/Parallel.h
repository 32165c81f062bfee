#pragma once

// Before LibTorch's own header, in the preset tsan: at::parallel_for on threads that TSan knows of. Without
// OpenMP the header's own runs on the caller alone.
#include_next <ATen/Parallel.h>

#include <algorithm>
#include <thread>
#include <vector>

namespace at {

template <typename Body>
void parallel_for_on_threads(int64_t begin, int64_t end, int64_t grain, const Body& body) {
  constexpr int64_t kThreads = 4;
  const int64_t chunk = std::max(grain, (end - begin + kThreads - 1) / kThreads);
  std::vector<std::jthread> threads;
  for (int64_t at = begin; at < end; at += chunk) {
    threads.emplace_back([&body, at, last = std::min(end, at + chunk)] { body(at, last); });
  }
}

}  // namespace at

#define parallel_for parallel_for_on_threads
