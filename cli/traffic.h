#pragma once

#include <functional>

#include "regroup/serving/replay.h"
#include "traffic_flags.h"

namespace regroup {

/// A model's server and the requests that it gets, at any number of KV heads.
class Traffic {
 public:
  /// @throws ConfigError FLAG_MISSING, FLAG_VALUE, FLAG_CONFLICT, GPU_UNKNOWN; UnsupportedError REPLAY_MODEL; and as
  ///         read_cache_layout() does
  explicit Traffic(const TrafficFlags& flags);
  /// Reads the trace, or makes it up from `seed`. @throws as read_trace() does; ConfigError FLAG_VALUE, FLAG_CONFLICT
  void load(uint64_t seed);

  const CacheLayout& layout() const { return layout_; }
  const ReplaySettings& settings() const { return settings_; }
  const Trace& trace() const { return trace_; }
  /// The file's name; "" for a trace that was made up.
  std::string trace_name() const;
  /// Whether so many KV heads can be shared out to the devices.
  bool divides(int64_t n_kv_heads) const;
  /// What a device holds, as `plan` counts it. @throws ConfigError FLAG_MISSING
  ServedModel model_at(int64_t n_kv_heads) const;
  /// @throws ConfigError REPLAY_MEMORY where weights and reserve leave nothing for the cache
  ReplayResult replay_at(int64_t n_kv_heads,
                         const std::function<void(double)>& progress = {}) const;
  /// The same error where there is one, at once. load() need not be called.
  void require_memory(int64_t n_kv_heads) const;

 private:
  const TrafficFlags& flags_;
  CacheLayout layout_;
  ReplaySettings settings_;
  Trace trace_;
};

}  // namespace regroup
