#pragma once

#include <vector>

#include "sweep_points.h"
#include "traffic.h"

namespace regroup {

/// What the traffic of a sweep costs at each of its numbers of KV heads.
class SweepTraffic {
 public:
  /// Reads the trace, and makes sure that one of the numbers can be replayed, before the hours of the stages.
  /// @throws as Traffic does; ConfigError REPLAY_MEMORY, KV_HEADS
  SweepTraffic(const TrafficFlags& flags, std::vector<int64_t> kv_heads, uint64_t seed);

  /// The JSON of replay, kept in `path` number by number: what stands there of the same trace, server and model is not
  /// simulated again. Numbers that cannot be served are in "left_out" with the reason.
  Json simulate(const std::string& path, bool quiet) const;

 private:
  std::string fingerprint() const;
  std::string why_left_out(int64_t n_kv_heads) const;

  const TrafficFlags& flags_;
  Traffic traffic_;
  std::vector<int64_t> kv_heads_;  ///< most first, the parent's among them
};

/// Gives each point its entry of a replay's "options".
void add_traffic(const Json& replay, std::vector<SweepPoint>& points);

}  // namespace regroup
