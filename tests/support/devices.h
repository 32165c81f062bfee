#pragma once

#include <c10/core/Device.h>

#include <vector>

#include "regroup/checkpoint/error.h"
#include "regroup/model/runtime.h"

namespace regroup::testing {

/// Tiny tensors gain nothing from threads, and on a busy machine threads that wait for each other take
/// twenty times as long.
inline const bool kOneThread = (set_threads(1), true);

/// The CPU and, where there is one, a GPU: what every test that computes runs on.
inline std::vector<at::Device> devices() {
  std::vector<at::Device> found = {at::kCPU};
  try {
    found.push_back(open_device("cuda"));
  } catch (const ConfigError&) {
  }
  return found;
}

}  // namespace regroup::testing
