#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

inline constexpr const char* kSpeedFormat = "regroup bench/1";

/// Decode steps over all repetitions, as tokens a second of the whole batch.
struct DecodeRate {
  double median = 0;
  double p10 = 0;  ///< of ten steps, one is slower
  double p90 = 0;
};
/// @param step_s  seconds of each step, at least one   Quantiles are interpolated between neighbours, as numpy does.
DecodeRate decode_rate(std::vector<double> step_s, int64_t batch);

/// How much faster decoding is than the model with most KV heads at the same batch and context.
struct SpeedUp {
  std::string over;        ///< that model
  int64_t n_kv_heads = 0;  ///< of it
  double measured = 0;
  double predicted = 0;  ///< by the roofline
};

/// One model at one batch and context.
struct SpeedRun {
  std::string model;
  int64_t n_kv_heads = 0;
  int64_t batch = 0;
  int64_t context = 0;  ///< tokens in the cache before the first new one
  std::optional<double> prefill_tokens_per_s;
  int64_t prefill_sequences = 0;    ///< at once
  DecodeRate decode;                ///< tokens a second
  std::vector<double> step_s = {};  ///< every step of every repetition, in order
  int64_t kv_bytes_computed = 0;    ///< by the formula, with room for the new tokens
  int64_t kv_bytes_measured = 0;
  int64_t step_allocated_bytes = 0;  ///< beside weights and cache
  double step_bytes = 0;  ///< that a step has to read: weights, and the cache halfway through
  double step_flops = 0;
  double bandwidth_fraction =
      0;  ///< step_bytes a second of the median step, of the machine's bandwidth
  bool memory_bound = true;
  double roofline_tokens_per_s = 0;
  std::optional<SpeedUp> speed_up = {};
};

/// What `bench` measured, and on what.
struct SpeedReport {
  std::string device;
  std::string processor;  ///< "" where it has no name
  std::string dtype;      ///< computed in, and of the cache
  std::string version;
  int64_t threads = 0;
  int64_t new_tokens = 0;
  int64_t repetitions = 0;
  double copy_bytes_per_s = 0;
  double read_bytes_per_s = 0;
  double flops_per_s = 0;
  std::vector<SpeedRun> runs;
};

/// Sets `speed_up` of every run but those with most KV heads at their batch and context: over the run of the same
/// model with most, or where there is none over the run of another model with most.
void compare_speeds(std::vector<SpeedRun>& runs);

Json speed_json(const SpeedReport& report);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
SpeedReport read_speed(const Json& json, const std::string& path);

}  // namespace regroup
