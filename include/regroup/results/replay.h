#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

inline constexpr const char* kReplayFormat = "regroup replay/1";

/// A distribution over requests, or over time.
struct ReplaySpread {
  double mean = 0;
  double std = 0;
  double p50 = 0;
  double p99 = 0;
  double max = 0;
};

/// What a trace sees of one number of KV heads. Bytes are of each device; times are in seconds.
struct ReplayOption {
  int64_t n_kv_heads = 0;
  int64_t weight_bytes = 0;
  int64_t budget_bytes = 0;  ///< what the cache may take
  int64_t completed = 0;
  int64_t rejected = 0;
  int64_t good = 0;  ///< requests within both limits
  double duration_s = 0;
  double busy_s = 0;
  int64_t prompt_tokens = 0;
  int64_t output_tokens = 0;
  double tokens_per_s = 0;
  ReplaySpread concurrency = {};
  ReplaySpread queue_s = {};
  ReplaySpread ttft_s = {};
  ReplaySpread tpot_s = {};
  ReplaySpread latency_s = {};
  int64_t preemptions = 0;
  int64_t recomputed_tokens = 0;
  int64_t prefix_hit_tokens = 0;
  ReplaySpread kv_bytes = {};
  ReplaySpread request_kv_bytes = {};
  double fragmentation = 0;  ///< share of the cache without a token
  std::optional<double> device_hours_per_million_tokens = {};  ///< absent: no token was made
  std::optional<double> cost_per_million_tokens = {};          ///< with a price alone
};

/// The server, and the limits of a request that counts as good.
struct ReplayServer {
  int64_t devices = 1;
  int64_t memory_bytes = 0;  ///< of each
  int64_t reserve_bytes = 0;
  double bandwidth_bytes_per_s = 0;
  double flops_per_s = 0;
  double step_overhead_s = 0;
  int64_t kv_bits = 16;
  int64_t block_tokens = 16;
  int64_t max_sequences = 256;
  int64_t max_step_tokens = 8192;
  int64_t max_context = 0;
  bool prefix_caching = false;
  double ttft_limit_s = 0;
  double tpot_limit_s = 0;
  double gpu_price = 0;  ///< of a device and hour; 0: not said
};

/// A trace replayed at several numbers of KV heads.
struct ReplayReport {
  std::string family;
  std::string architecture;
  int64_t n_kv_heads = 0;  ///< the model's own
  std::string trace;       ///< "" for one that was made up
  int64_t requests = 0;
  double seconds = 0;     ///< from the first arrival to the last
  int64_t unordered = 0;  ///< requests that stood behind a later one
  ReplayServer server = {};
  std::vector<ReplayOption> options = {};
};

Json replay_option_json(const ReplayOption& option);
Json replay_report_json(const ReplayReport& report);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
ReplayReport read_replay(const Json& json, const std::string& path);

}  // namespace regroup
