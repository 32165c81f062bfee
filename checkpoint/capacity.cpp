#include "regroup/checkpoint/capacity.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/checkpoint/kv_heads.h"

namespace regroup {
namespace {

/// The model as one of `devices` holds it. What does not divide is rounded up, as engines pad it.
ModelConfig config_of_device(const ModelConfig& config, int64_t devices) {
  const auto share = [devices](int64_t size) { return (size + devices - 1) / devices; };
  ModelConfig device = config;
  device.n_heads = share(config.n_heads);
  device.n_kv_heads = share(config.n_kv_heads);
  device.intermediate_size = share(config.intermediate_size);
  device.vocab_size = share(config.vocab_size);
  return device;
}

DeviceShare share_of_device(const ModelConfig& config, const CapacityRequest& request) {
  const ModelConfig device = config_of_device(config, request.devices);
  DeviceShare share;
  share.n_kv_heads = device.n_kv_heads;
  share.divides =
      config.n_kv_heads % request.devices == 0 || request.devices % config.n_kv_heads == 0;
  share.weight_bytes = count_parameters(device) * request.weight_bits / 8;
  share.kv_bytes_per_token = kv_bytes_per_token(config, device.n_kv_heads, request.kv_bits);
  share.kv_bytes =
      kv_bytes(config, device.n_kv_heads, request.context, request.kv_bits) * request.batch;
  share.total_bytes = share.weight_bytes + share.kv_bytes;
  return share;
}

CapacityOption evaluate(const ModelConfig& config, const CapacityRequest& request,
                        int64_t n_kv_heads) {
  ModelConfig converted = config;
  converted.n_kv_heads = n_kv_heads;
  CapacityOption option;
  option.n_kv_heads = n_kv_heads;
  option.n_params = count_parameters(converted);
  option.weight_bytes = option.n_params * request.weight_bits / 8;
  option.kv_bytes_per_token = kv_bytes_per_token(config, n_kv_heads, request.kv_bits);
  option.kv_bytes = kv_bytes(config, n_kv_heads, request.context, request.kv_bits) * request.batch;
  option.total_bytes = option.weight_bytes + option.kv_bytes;
  option.device = share_of_device(converted, request);
  if (request.gpu_memory_bytes) {
    const DeviceShare& device = option.device;
    const int64_t memory = *request.gpu_memory_bytes - request.reserve_bytes;
    const int64_t left = memory - device.weight_bytes;
    const int64_t a_sequence = device.kv_bytes / request.batch;
    option.fits = device.divides && device.total_bytes <= memory;
    option.max_batch = left > 0 && a_sequence > 0 ? left / a_sequence : 0;
    option.max_context =
        max_context(config, device.n_kv_heads, request.batch, request.kv_bits, left);
  }
  return option;
}

void require_devices(const ModelConfig& config, int64_t devices) {
  if (devices >= 1 && config.n_heads % devices == 0) return;
  std::vector<int64_t> choices;
  for (int64_t n = 1; n <= config.n_heads; ++n) {
    if (config.n_heads % n == 0) choices.push_back(n);
  }
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("`tp` must divide the model's {} query heads, found {}",
                                            config.n_heads, devices),
                     .hint = fmt::format("choose one of {}", fmt::join(choices, ", "))});
}

/// The groups that decode kernels are made for, where the recommended one is none of them.
std::string explain_group(const CapacityPlan& plan, const ModelConfig& config) {
  if (!plan.recommended || has_fast_group(config.n_heads / *plan.recommended)) return {};
  std::string text = fmt::format(
      "; its groups of {} query heads are none of 1, 2, 4 and 8, which engines have decode kernels "
      "for",
      config.n_heads / *plan.recommended);
  for (const CapacityOption& option : plan.options) {
    if (!option.fits || !has_fast_group(config.n_heads / option.n_kv_heads)) continue;
    return text + fmt::format(": {} KV heads (groups of {}) fit too", option.n_kv_heads,
                              config.n_heads / option.n_kv_heads);
  }
  return text;
}

/// The reason in one sentence, with the numbers that decide it.
std::string explain(const CapacityPlan& plan, const CapacityRequest& request) {
  if (!request.gpu_memory_bytes) return "no `gpu-memory` given: nothing to fit into";
  const std::string memory = human_bytes(*request.gpu_memory_bytes - request.reserve_bytes);
  const CapacityOption& smallest = plan.options.back();
  const char* each = request.devices > 1 ? " on each device" : "";
  if (!plan.recommended) {
    const int64_t left =
        *request.gpu_memory_bytes - request.reserve_bytes - smallest.device.weight_bytes;
    if (left <= 0) {
      return fmt::format("nothing fits: the weights alone need {} of {}{}",
                         human_bytes(smallest.device.weight_bytes), memory, each);
    }
    return fmt::format(
        "nothing fits: even {} KV heads need {} for the cache{}, and the weights leave {} "
        "of {}; at this context at most {} sequences fit",
        smallest.n_kv_heads, human_bytes(smallest.device.kv_bytes), each, human_bytes(left), memory,
        smallest.max_batch);
  }
  const auto chosen = std::find_if(plan.options.begin(), plan.options.end(), [&](const auto& o) {
    return o.n_kv_heads == *plan.recommended;
  });
  return fmt::format("{} KV heads are the most that fit: {} of weights and {} of cache in {}{}",
                     chosen->n_kv_heads, human_bytes(chosen->device.weight_bytes),
                     human_bytes(chosen->device.kv_bytes), memory, each);
}

}  // namespace

bool has_fast_group(int64_t group_size) {
  return group_size == 1 || group_size == 2 || group_size == 4 || group_size == 8;
}

CapacityPlan plan_capacity(const ModelConfig& config, const CapacityRequest& request) {
  require_devices(config, request.devices);
  std::vector<int64_t> counts =
      request.kv_heads.empty() ? kv_head_choices(config) : request.kv_heads;
  std::sort(counts.begin(), counts.end(), std::greater<>());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  CapacityPlan plan;
  for (const int64_t n_kv_heads : counts) {
    require_kv_heads_or_more(config, n_kv_heads);
    plan.options.push_back(evaluate(config, request, n_kv_heads));
    const bool recommend =
        request.gpu_memory_bytes && plan.options.back().fits && !plan.recommended;
    if (recommend) plan.recommended = n_kv_heads;
  }
  plan.why = explain(plan, request) + explain_group(plan, config);
  if (const int64_t longest = longest_context(config); request.context > longest) {
    const bool scaled = longest != config.max_positions;
    plan.warnings.push_back(fmt::format(
        "a context of {} exceeds the model's own limit of {} (max_position_embeddings{})",
        request.context, longest, scaled ? " and its rope scaling" : ""));
  }
  return plan;
}

}  // namespace regroup
