#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// What a server has to hold, and where.
struct CapacityRequest {
  std::vector<int64_t> kv_heads;  ///< empty: every divisor of the model's
  int64_t context = 0;
  int64_t batch = 1;
  std::optional<int64_t> gpu_memory_bytes;
  int64_t reserve_bytes = 0;
  int64_t kv_bits = 16;
  int64_t weight_bits = 16;
};

/// One number of KV heads.
struct CapacityOption {
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;  ///< at the context and batch asked for
  int64_t weight_bytes = 0;
  int64_t total_bytes = 0;  ///< weight_bytes + kv_bytes
  bool fits = true;
  int64_t max_batch = 0;    ///< floor((memory - weights) / cache of one sequence), 0 when negative
  int64_t max_context = 0;  ///< at the batch asked for
};

struct CapacityPlan {
  std::vector<CapacityOption> options;  ///< by falling n_kv_heads
  std::optional<int64_t> recommended;   ///< the largest that fits
  std::string why;
  std::vector<std::string> warnings;
};

/// @throws ConfigError KV_HEADS
CapacityPlan plan_capacity(const ModelConfig& config, const CapacityRequest& request);

}  // namespace regroup
