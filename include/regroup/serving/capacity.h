#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/serving/cache_layout.h"
#include "regroup/serving/gpu.h"

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
  std::optional<int64_t>
      weight_bytes;        ///< of the whole model, instead of parameters * weight_bits / 8
  std::optional<Gpu> gpu;  ///< for the roofline
};

/// What one of the devices holds that share a model as vLLM does: query heads, KV heads, MLP and vocabulary are
/// divided; where there are more devices than KV heads each of these is there several times.
struct DeviceShare {
  int64_t n_kv_heads = 0;
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;
  std::optional<int64_t> weight_bytes;  ///< where they are known
  std::optional<int64_t> total_bytes;
  bool divides = true;  ///< KV heads by devices, or devices by KV heads; false: engines refuse it
};

/// What bounds a decode step: every weight and the whole cache are read once, and every parameter multiplies and adds once a
/// sequence (Williams, Waterman and Patterson, CACM 52, 2009); of experts those that are chosen (ExpertUse).
struct Roofline {
  double bytes = 0;  ///< of a device and step
  double flops = 0;
  double seconds = 0;  ///< the longer of reading and computing
  bool memory_bound = true;
  double tokens_per_s = 0;  ///< of all sequences
};

/// One number of KV heads. Bytes are those of the whole model.
struct CapacityOption {
  int64_t n_kv_heads = 0;
  std::optional<int64_t> n_params;  ///< of families that regroup converts
  int64_t kv_bytes_per_token = 0;
  int64_t kv_bytes = 0;  ///< at the context and batch asked for
  std::optional<int64_t> weight_bytes;
  std::optional<int64_t> total_bytes;  ///< weight_bytes + kv_bytes
  DeviceShare device;                  ///< the same of one device; of a single one all of it
  std::optional<Roofline> roofline;    ///< of a decode step on the GPU asked for
  bool fits = true;                    ///< on each device
  int64_t max_batch = 0;    ///< floor((memory - weights) / cache of one sequence), 0 when negative
  int64_t max_context = 0;  ///< at the batch asked for
};

struct CapacityPlan {
  std::vector<CapacityOption> options;  ///< by falling n_kv_heads
  std::optional<int64_t> recommended;   ///< the largest that fits
  std::optional<int64_t> smallest;      ///< that fits
  std::string why;
  std::vector<std::string> warnings;
};

/// Whether the KV heads of every layer can be shared by so many devices as engines do: divided, or repeated.
bool heads_divide(const CacheLayout& layout, int64_t devices);
/// Weights of one of the request's devices, where they are known.
std::optional<int64_t> device_weight_bytes(const CacheLayout& layout,
                                           const CapacityRequest& request);
/// @throws ConfigError FLAG_VALUE unless the devices divide the query heads
void require_devices(const CacheLayout& layout, int64_t devices);

/// Whether engines have decode kernels made for so many query heads a KV head: 1, 2, 4 and 8. Others run, slower.
bool has_fast_group(int64_t group_size);

/// Numbers of KV heads that a conversion of the model could have, from the model's own down; {0} where its cache has no heads.
std::vector<int64_t> cache_head_choices(const CacheLayout& layout);
/// @throws ConfigError KV_HEADS when the model's KV heads cannot become so many
void require_cache_heads(const CacheLayout& layout, int64_t n_kv_heads);

/// @throws ConfigError KV_HEADS, FLAG_VALUE (devices), FLAG_MISSING where weights are asked for that are not known
CapacityPlan plan_capacity(const CacheLayout& layout, const CapacityRequest& request);

}  // namespace regroup
