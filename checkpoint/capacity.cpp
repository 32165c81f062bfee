#include "regroup/checkpoint/capacity.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/human_number.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/kv_cache.h"

namespace regroup {
namespace {

CapacityOption evaluate(const ModelConfig& config, const CapacityRequest& request,
                        int64_t n_kv_heads) {
  ModelConfig converted = config;
  converted.n_kv_heads = n_kv_heads;
  CapacityOption option;
  option.n_kv_heads = n_kv_heads;
  option.n_params = count_parameters(converted);
  option.weight_bytes = option.n_params * request.weight_bits / 8;
  option.kv_bytes_per_token = kv_bytes_per_token(config, n_kv_heads, request.kv_bits);
  const int64_t one = kv_bytes(config, n_kv_heads, request.context, request.kv_bits);
  option.kv_bytes = one * request.batch;
  option.total_bytes = option.weight_bytes + option.kv_bytes;
  if (request.gpu_memory_bytes) {
    const int64_t memory = *request.gpu_memory_bytes - request.reserve_bytes;
    const int64_t left = memory - option.weight_bytes;
    option.fits = option.total_bytes <= memory;
    option.max_batch = left > 0 && one > 0 ? left / one : 0;
    option.max_context = max_context(config, n_kv_heads, request.batch, request.kv_bits, left);
  }
  return option;
}

/// The reason in one sentence, with the numbers that decide it.
std::string explain(const CapacityPlan& plan, const CapacityRequest& request) {
  if (!request.gpu_memory_bytes) return "no `gpu-memory` given: nothing to fit into";
  const std::string memory = human_bytes(*request.gpu_memory_bytes - request.reserve_bytes);
  const CapacityOption& smallest = plan.options.back();
  if (!plan.recommended) {
    const int64_t left = *request.gpu_memory_bytes - request.reserve_bytes - smallest.weight_bytes;
    if (left <= 0) {
      return fmt::format("nothing fits: the weights alone need {} of {}",
                         human_bytes(smallest.weight_bytes), memory);
    }
    return fmt::format(
        "nothing fits: even {} KV heads need {} for the cache, and the weights leave {} "
        "of {}; at this context at most {} sequences fit",
        smallest.n_kv_heads, human_bytes(smallest.kv_bytes), human_bytes(left), memory,
        smallest.max_batch);
  }
  const auto chosen = std::find_if(plan.options.begin(), plan.options.end(), [&](const auto& o) {
    return o.n_kv_heads == *plan.recommended;
  });
  return fmt::format("{} KV heads are the most that fit: {} of weights and {} of cache in {}",
                     chosen->n_kv_heads, human_bytes(chosen->weight_bytes),
                     human_bytes(chosen->kv_bytes), memory);
}

}  // namespace

CapacityPlan plan_capacity(const ModelConfig& config, const CapacityRequest& request) {
  std::vector<int64_t> counts =
      request.kv_heads.empty() ? kv_head_choices(config) : request.kv_heads;
  std::sort(counts.begin(), counts.end(), std::greater<>());
  counts.erase(std::unique(counts.begin(), counts.end()), counts.end());
  CapacityPlan plan;
  for (const int64_t n_kv_heads : counts) {
    require_kv_heads(config, n_kv_heads);
    plan.options.push_back(evaluate(config, request, n_kv_heads));
    const bool recommend =
        request.gpu_memory_bytes && plan.options.back().fits && !plan.recommended;
    if (recommend) plan.recommended = n_kv_heads;
  }
  plan.why = explain(plan, request);
  if (const int64_t longest = longest_context(config); request.context > longest) {
    const bool scaled = longest != config.max_positions;
    plan.warnings.push_back(fmt::format(
        "a context of {} exceeds the model's own limit of {} (max_position_embeddings{})",
        request.context, longest, scaled ? " and its rope scaling" : ""));
  }
  return plan;
}

}  // namespace regroup
