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
  int64_t devices = 1;                      ///< that share the model (tensor parallelism)
  std::optional<int64_t> gpu_memory_bytes;  ///< of each device
  int64_t reserve_bytes = 0;
  int64_t kv_bits = 16;
  int64_t weight_bits = 16;
};

/// What one of the devices holds that share a model as vLLM does: query heads, KV heads, MLP and vocabulary are
/// divided; where there are more devices than KV heads each of these is there several times.
struct DeviceShare {
  int64_t n_kv_heads = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;
  int64_t weight_bytes = 0;
  int64_t total_bytes = 0;
  bool divides = true;  ///< KV heads by devices, or devices by KV heads; false: engines refuse it
};

/// One number of KV heads. Bytes are those of the whole model.
struct CapacityOption {
  int64_t n_kv_heads = 0;
  int64_t n_params = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;  ///< at the context and batch asked for
  int64_t weight_bytes = 0;
  int64_t total_bytes = 0;  ///< weight_bytes + kv_bytes
  DeviceShare device;       ///< the same of one device; of a single one all of it
  bool fits = true;         ///< on each device
  int64_t max_batch = 0;    ///< floor((memory - weights) / cache of one sequence), 0 when negative
  int64_t max_context = 0;  ///< at the batch asked for
};

struct CapacityPlan {
  std::vector<CapacityOption> options;  ///< by falling n_kv_heads
  std::optional<int64_t> recommended;   ///< the largest that fits
  std::string why;
  std::vector<std::string> warnings;
};

/// Whether engines have decode kernels made for so many query heads a KV head: 1, 2, 4 and 8. Others run, slower.
bool has_fast_group(int64_t group_size);

/// @throws ConfigError KV_HEADS, FLAG_VALUE (devices)
CapacityPlan plan_capacity(const ModelConfig& config, const CapacityRequest& request);

}  // namespace regroup
