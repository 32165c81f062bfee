#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "command.h"

namespace regroup {

struct BenchFlags {
  std::vector<std::string> models;
  std::vector<int64_t> kv_heads;
  std::vector<int64_t> batch = {1};
  std::vector<std::string> context;
  int64_t new_tokens = 64;
  int64_t repetitions = 5;
  bool no_prefill = false;
  std::string dtype = "auto";
  std::string out;
};

/// The values of --context; none where it is left out.
std::vector<int64_t> bench_contexts(const BenchFlags& flags);

}  // namespace regroup
