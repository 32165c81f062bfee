#include "regroup/serving/capacity.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/base/human_number.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_heads.h"
#include "regroup/serving/roofline.h"

namespace regroup {
namespace {

int64_t share(int64_t size, int64_t devices) { return (size + devices - 1) / devices; }

/// The model as one of `devices` holds it. What does not divide is rounded up, as engines pad it.
ModelConfig config_of_device(const ModelConfig& config, int64_t devices) {
  ModelConfig device = config;
  device.n_heads = share(config.n_heads, devices);
  device.n_kv_heads = share(config.n_kv_heads, devices);
  device.intermediate_size = share(config.intermediate_size, devices);
  device.experts.intermediate_size = share(config.experts.intermediate_size, devices);
  device.experts.shared_intermediate_size = share(config.experts.shared_intermediate_size, devices);
  device.vocab_size = share(config.vocab_size, devices);
  return device;
}

/// Of the whole model, or of one of `devices`.
std::optional<int64_t> weights_of(const CacheLayout& layout, const CapacityRequest& request,
                                  int64_t devices) {
  if (request.weight_bytes) return share(*request.weight_bytes, devices);
  if (!layout.config) return std::nullopt;
  return count_parameters(config_of_device(*layout.config, devices)) * request.weight_bits / 8;
}

std::optional<int64_t> plus(std::optional<int64_t> a, int64_t b) {
  int64_t sum = 0;
  if (!a) return std::nullopt;
  return __builtin_add_overflow(*a, b, &sum) ? INT64_MAX : sum;
}

int64_t batch_bytes(const CacheLayout& layout, const CapacityRequest& request) {
  int64_t bytes = 0;
  const int64_t one = cache_bytes(layout, request.context, request.kv_bits);
  return __builtin_mul_overflow(one, request.batch, &bytes) ? INT64_MAX : bytes;
}

DeviceShare share_of_device(const CacheLayout& layout, const CapacityRequest& request) {
  const CacheLayout held = on_device(layout, request.devices);
  DeviceShare device;
  device.n_kv_heads = held.n_kv_heads;
  device.divides = heads_divide(layout, request.devices);
  device.weight_bytes = device_weight_bytes(layout, request);
  device.kv_bytes_per_token = cache_bytes_per_token(held, request.kv_bits);
  device.kv_bytes = batch_bytes(held, request);
  device.total_bytes = plus(device.weight_bytes, device.kv_bytes);
  return device;
}

void evaluate_memory(const CacheLayout& layout, const CapacityRequest& request,
                     CapacityOption& option) {
  const DeviceShare& device = option.device;
  const int64_t memory = *request.gpu_memory_bytes - request.reserve_bytes;
  const int64_t left = memory - *device.weight_bytes;
  const int64_t a_sequence = device.kv_bytes / request.batch;
  option.fits = device.divides && *device.total_bytes <= memory;
  option.max_batch = left > 0 && a_sequence > 0 ? left / a_sequence : 0;
  const CacheLayout held = on_device(layout, request.devices);
  option.max_context = longest_cached_context(held, request.batch, request.kv_bits, left);
}

CapacityOption evaluate(const CacheLayout& parent, const CapacityRequest& request,
                        int64_t n_kv_heads) {
  const CacheLayout layout = with_kv_heads(parent, n_kv_heads);
  CapacityOption option;
  option.n_kv_heads = n_kv_heads;
  if (layout.config) option.n_params = count_parameters(*layout.config);
  option.weight_bytes = weights_of(layout, request, 1);
  option.kv_bytes_per_token = cache_bytes_per_token(layout, request.kv_bits);
  option.kv_bytes = batch_bytes(layout, request);
  option.total_bytes = plus(option.weight_bytes, option.kv_bytes);
  option.device = share_of_device(layout, request);
  if (request.gpu_memory_bytes) evaluate_memory(layout, request, option);
  if (request.gpu && option.device.weight_bytes) {
    option.roofline = decode_roofline(layout, request, *option.device.weight_bytes,
                                      option.device.kv_bytes, *request.gpu);
  }
  return option;
}

void require_weights(const CacheLayout& layout, const CapacityRequest& request) {
  const bool needed = request.gpu_memory_bytes || request.gpu;
  if (!needed || layout.config || request.weight_bytes) return;
  throw ConfigError(
      {.code = "FLAG_MISSING",
       .message = fmt::format("what fits needs the bytes of the weights, which are not counted for "
                              "model_type \"{}\", found no `weights`",
                              layout.model_type),
       .hint = "give their size, such as the sum of the safetensors files, or the model's folder"});
}

/// The groups that decode kernels are made for, where the recommended one is none of them.
std::string explain_group(const CapacityPlan& plan, const CacheLayout& config) {
  if (!plan.recommended || *plan.recommended == 0) return {};
  if (has_fast_group(config.n_heads / *plan.recommended)) return {};
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

/// "8 KV heads"; where a cache has none, what it has.
std::string heads_of(const CapacityOption& option) {
  if (option.n_kv_heads == 0) return "its latent vectors and states";
  return fmt::format("{} KV head{}", option.n_kv_heads, option.n_kv_heads == 1 ? "" : "s");
}

/// The reason in one sentence, with the numbers that decide it.
std::string explain(const CapacityPlan& plan, const CapacityRequest& request) {
  if (!request.gpu_memory_bytes) return "no `gpu-memory` given: nothing to fit into";
  const std::string memory = human_bytes(*request.gpu_memory_bytes - request.reserve_bytes);
  const CapacityOption& smallest = plan.options.back();
  const char* each = request.devices > 1 ? " on each device" : "";
  if (!plan.recommended) {
    const int64_t left =
        *request.gpu_memory_bytes - request.reserve_bytes - *smallest.device.weight_bytes;
    if (left <= 0) {
      return fmt::format("nothing fits: the weights alone need {} of {}{}",
                         human_bytes(*smallest.device.weight_bytes), memory, each);
    }
    return fmt::format(
        "nothing fits: even {} need{} {} for the cache{}, and the weights leave {} "
        "of {}; at this context at most {} sequence{} fit{}",
        heads_of(smallest), smallest.n_kv_heads == 1 ? "s" : "",
        human_bytes(smallest.device.kv_bytes), each, human_bytes(left), memory, smallest.max_batch,
        smallest.max_batch == 1 ? "" : "s", smallest.max_batch == 1 ? "s" : "");
  }
  const auto chosen = std::find_if(plan.options.begin(), plan.options.end(), [&](const auto& o) {
    return o.n_kv_heads == *plan.recommended;
  });
  if (chosen->n_kv_heads == 0) {
    return fmt::format("it fits: {} of weights and {} of cache in {}{}",
                       human_bytes(*chosen->device.weight_bytes),
                       human_bytes(chosen->device.kv_bytes), memory, each);
  }
  return fmt::format("{} {} the most that fit{}: {} of weights and {} of cache in {}{}",
                     heads_of(*chosen), chosen->n_kv_heads == 1 ? "is" : "are",
                     chosen->n_kv_heads == 1 ? "s" : "", human_bytes(*chosen->device.weight_bytes),
                     human_bytes(chosen->device.kv_bytes), memory, each);
}

}  // namespace

bool heads_divide(const CacheLayout& layout, int64_t devices) {
  return std::all_of(layout.layers.begin(), layout.layers.end(), [&](const CacheLayer& layer) {
    const int64_t heads = layer.n_kv_heads;
    return heads == 0 || heads % devices == 0 || devices % heads == 0;
  });
}

std::optional<int64_t> device_weight_bytes(const CacheLayout& layout,
                                           const CapacityRequest& request) {
  return weights_of(layout, request, request.devices);
}

void require_devices(const CacheLayout& layout, int64_t devices) {
  if (layout.n_heads == 0 || layout.n_heads % devices == 0) return;
  std::vector<int64_t> choices;
  for (int64_t n = 1; n <= layout.n_heads; ++n) {
    if (layout.n_heads % n == 0) choices.push_back(n);
  }
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("`tp` must divide the model's {} query heads, found {}",
                                            layout.n_heads, devices),
                     .hint = fmt::format("choose one of {}", fmt::join(choices, ", "))});
}

bool has_fast_group(int64_t group_size) {
  return group_size == 1 || group_size == 2 || group_size == 4 || group_size == 8;
}

std::vector<int64_t> cache_head_choices(const CacheLayout& layout) {
  if (layout.config) return kv_head_choices(*layout.config);
  std::vector<int64_t> choices;
  for (int64_t n = layout.n_kv_heads; n >= 1; --n) {
    const bool reached = std::all_of(
        layout.layers.begin(), layout.layers.end(),
        [&](const CacheLayer& layer) { return layer.n_kv_heads * n % layout.n_kv_heads == 0; });
    if (layout.n_kv_heads % n == 0 && reached) choices.push_back(n);
  }
  if (choices.empty()) choices.push_back(0);
  return choices;
}

void require_cache_heads(const CacheLayout& layout, int64_t n_kv_heads) {
  if (layout.config) return require_kv_heads_or_more(*layout.config, n_kv_heads);
  const std::vector<int64_t> choices = cache_head_choices(layout);
  if (std::find(choices.begin(), choices.end(), n_kv_heads) != choices.end()) return;
  const bool heads = layout.n_kv_heads > 0;
  throw ConfigError(
      {.code = "KV_HEADS",
       .message =
           heads ? fmt::format("`kv-heads` must divide the {} KV heads of every layer, found {}",
                               layout.n_kv_heads, n_kv_heads)
                 : fmt::format("the cache of model_type \"{}\" has no KV heads, found {}",
                               layout.model_type, n_kv_heads),
       .hint = heads ? fmt::format("choose one of {}", fmt::join(choices, ", "))
                     : "leave `kv-heads` out"});
}

CapacityPlan plan_capacity(const CacheLayout& layout, const CapacityRequest& request) {
  require_devices(layout, request.devices);
  require_weights(layout, request);
  std::vector<int64_t> counts =
      request.kv_heads.empty() ? cache_head_choices(layout) : request.kv_heads;
  std::sort(counts.begin(), counts.end(), std::greater<>());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  CapacityPlan plan;
  for (const int64_t n_kv_heads : counts) {
    require_cache_heads(layout, n_kv_heads);
    plan.options.push_back(evaluate(layout, request, n_kv_heads));
    const bool recommend =
        request.gpu_memory_bytes && plan.options.back().fits && !plan.recommended;
    if (recommend) plan.recommended = n_kv_heads;
    if (request.gpu_memory_bytes && plan.options.back().fits) plan.smallest = n_kv_heads;
  }
  plan.why = explain(plan, request) + explain_group(plan, layout);
  const int64_t longest = layout.max_positions;
  if (longest > 0 && request.context > longest) {
    const bool scaled = layout.config && longest != layout.config->max_positions;
    plan.warnings.push_back(fmt::format(
        "a context of {} exceeds the model's own limit of {} (max_position_embeddings{})",
        request.context, longest, scaled ? " and its rope scaling" : ""));
  }
  return plan;
}

}  // namespace regroup
