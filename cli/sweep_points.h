#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"

namespace regroup {

/// A loss above the parent's, in nats a token.
struct LossIncrease {
  std::string text;
  double value = 0;
  double error = 0;  ///< standard error

  /// The end of the 95 % interval that counts for a tolerance.
  double upper() const { return value + 1.96 * error; }
};

/// What one number of KV heads is worth.
struct SweepPoint {
  int64_t n_kv_heads = 0;
  std::string role;  ///< "baseline", "converted" or "uptrained"
  int64_t kv_bytes_per_token = 0;
  std::vector<LossIncrease> losses;  ///< a text each
  Json results;                      ///< of eval, tasks and probes among them
  bool pareto = false;               ///< nothing has a smaller cache and is as good

  /// Of the texts, the mean.
  double mean_increase() const;
};

/// The points of an evaluation against the parent: of models with as many KV heads the uptrained one.
/// @throws CheckpointError SWEEP_RESULTS where a model was not compared on any text
std::vector<SweepPoint> read_sweep_points(const Json& evaluation, const std::string& path);

/// Marks the points that none beats: a cache as small and a mean loss as low, one of them more so.
void mark_pareto(std::vector<SweepPoint>& points);

/// The smallest number of KV heads whose loss on every text is above the parent's by at most `tolerance`, by the upper end of
/// its 95 % interval; nullptr where none is, the parent apart.
const SweepPoint* smallest_within(const std::vector<SweepPoint>& points, double tolerance);

}  // namespace regroup
