#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "regroup/serving/cache_layout.h"
#include "regroup/serving/trace.h"

namespace regroup {

/// A model as a server holds it.
struct ServedModel {
  CacheLayout layout;               ///< of the whole model
  int64_t device_weight_bytes = 0;  ///< of each device
  double flops_per_token =
      0;  ///< of everything but attention over the cache: twice a token's parameters
};

/// The server: one or more equal devices that share the model.
struct ReplaySettings {
  int64_t devices = 1;
  int64_t memory_bytes = 0;  ///< of each
  int64_t reserve_bytes = 0;
  double bandwidth_bytes_per_s = 0;  ///< of each
  double flops_per_s = 0;            ///< of each
  double step_overhead_s = 0;        ///< launches and scheduling, added to every step
  int64_t kv_bits = 16;
  int64_t block_tokens = 16;       ///< the cache is given out in blocks of so many tokens
  int64_t max_sequences = 256;     ///< running at once
  int64_t max_step_tokens = 8192;  ///< of a step: one a running sequence, and parts of prompts
  int64_t max_context = 0;  ///< tokens of prompt and output; longer requests are rejected; 0: any
  bool prefix_caching = false;  ///< prompts that begin alike share blocks (Trace::blocks)
  double ttft_limit_s = 0;      ///< of a request that counts as good; 0: any
  double tpot_limit_s = 0;
};

/// A distribution over requests, or over time.
struct Spread {
  double mean = 0;
  double std = 0;
  double p50 = 0;
  double p99 = 0;
  double max = 0;
};

struct ReplayResult {
  int64_t n_kv_heads = 0;
  int64_t weight_bytes = 0;  ///< of each device, as are all bytes here
  int64_t budget_bytes = 0;  ///< what the cache may take
  int64_t completed = 0;
  int64_t rejected = 0;           ///< longer than max_context, or than the whole budget
  int64_t preemptions = 0;        ///< sequences that gave up their cache and were computed again
  int64_t recomputed_tokens = 0;  ///< that had been in the cache
  int64_t prompt_tokens = 0;      ///< of what was completed
  int64_t output_tokens = 0;
  int64_t prefix_hit_tokens = 0;  ///< of prompts, found in the cache
  double duration_s = 0;          ///< from the first arrival to the last token
  double busy_s = 0;              ///< thereof with a step running
  Spread concurrency;             ///< running sequences, over time
  Spread kv_bytes;                ///< blocks given out, over time
  Spread request_kv_bytes;        ///< at the end of each request
  double fragmentation = 0;       ///< share of the blocks given out that holds no token, over time
  Spread queue_s;                 ///< from arrival to the first step
  Spread ttft_s;                  ///< from arrival to the first token
  Spread tpot_s;                  ///< (last - first token) / (output - 1)
  Spread latency_s;               ///< from arrival to the last token
  int64_t good = 0;               ///< requests within both limits
  double tokens_per_s = 0;        ///< output_tokens / duration_s
};

/// Hours of one device that a million output tokens take, all devices paid for from the first arrival to the last token;
/// nothing where no token was made.
std::optional<double> device_hours_per_million(const ReplayResult& result, int64_t devices);

/// Simulates continuous batching with chunked prefill, step by step: a step takes as long as the slower of reading its bytes
/// and computing its FLOPs. Between two events (an arrival that can start, a sequence that ends, a full window, no free
/// block) steps are summed in closed form.
/// @param progress  is told the share of requests that are done, from time to time
/// @throws ConfigError REPLAY_MEMORY where weights and reserve leave nothing for the cache
ReplayResult replay(const Trace& trace, const ServedModel& model, const ReplaySettings& settings,
                    const std::function<void(double)>& progress = {});

}  // namespace regroup
