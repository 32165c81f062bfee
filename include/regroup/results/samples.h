#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

inline constexpr const char* kSamplesFormat = "regroup samples/1";

/// What a model made of a prompt.
struct Continuation {
  std::string role;
  int64_t n_kv_heads = 0;
  std::string text;
};
struct Sample {
  std::string prompt;
  std::vector<Continuation> continuations;
};
using Samples = std::vector<Sample>;

Json samples_json(const Samples& samples);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
Samples read_samples(const Json& json, const std::string& path);

}  // namespace regroup
