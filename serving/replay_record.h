#pragma once

#include <vector>

#include "distribution.h"
#include "regroup/serving/replay.h"

namespace regroup {

/// What a simulation has seen, and the result that it makes.
class ReplayRecord {
 public:
  /// @param requests  of the trace: no more run at once
  ReplayRecord(const ReplaySettings& settings, int64_t weight_bytes, int64_t budget_bytes,
               int64_t requests);

  /// The cache while steps run, as blocks given out.
  struct Cache {
    double mean_bytes = 0;
    double mean_used = 0;  ///< thereof with tokens in them
    double from_bytes = 0;
    double to_bytes = 0;
  };
  void ran(double seconds, double sequences, const Cache& cache);
  void was_idle(double seconds, double cache_bytes);
  void started(double queue_s, int64_t prefix_hit_tokens);
  void preempted() { ++result_.preemptions; }
  void recomputes(int64_t tokens) { result_.recomputed_tokens += tokens; }
  void rejected() { ++result_.rejected; }
  /// @param now  since the first arrival
  void completed(const TraceRequest& request, double now, double ttft_s, int64_t cache_bytes);

  /// Requests that are over.
  int64_t done() const { return result_.completed + result_.rejected; }
  ReplayResult result();

 private:
  const ReplaySettings& settings_;
  ReplayResult result_;
  double given_ = 0;  ///< bytes of blocks, times seconds
  double used_ = 0;   ///< thereof with tokens
  TimeSpread concurrency_;
  TimeSpread kv_;
  std::vector<float> queue_s_;
  std::vector<float> ttft_s_;
  std::vector<float> tpot_s_;
  std::vector<float> latency_s_;
  std::vector<float> request_bytes_;
};

}  // namespace regroup
