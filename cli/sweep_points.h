#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/evaluation.h"

namespace regroup {

/// A loss above the parent's, in nats a token.
struct LossIncrease {
  std::string text;
  double value = 0;
  double error = 0;  ///< standard error
  std::optional<double> kl = {};
  std::optional<double> kl_error = {};

  /// The ends of the 95 % interval; the upper one counts for a tolerance.
  double lower() const { return value - 1.96 * error; }
  double upper() const { return value + 1.96 * error; }
};

/// What a point loses of one score, against what it may: in nats a token, or in points.
struct ToleranceCheck {
  size_t tolerance = 0;  ///< of the sweep's
  std::string name;      ///< of the text, task or probe
  double loss = 0;       ///< below zero: better than the parent
  double error = 0;
  double low = 0;  ///< 95 % interval
  double high = 0;
  double excess = 0;  ///< of the interval's upper end over the tolerance
  bool within = false;
};

/// What one number of KV heads is worth.
struct SweepPoint {
  int64_t n_kv_heads = 0;
  std::string role;  ///< "baseline", "converted" or "uptrained"
  int64_t kv_bytes_per_token = 0;
  std::vector<LossIncrease> losses;  ///< a text each
  ModelResult result = {};           ///< of eval, tasks and probes among them
  std::vector<ToleranceCheck> checks = {};
  Json traffic = {};    ///< of replay, an entry of its "options"; null: none, or none that fits
  bool pareto = false;  ///< nothing has a smaller cache and is as good
  bool pareto_cost = false;  ///< nothing serves the traffic for less and is as good

  bool is_parent() const { return role == "baseline"; }
  bool within() const;
  /// Of the texts, the mean, and its standard error.
  double mean_increase() const;
  double mean_error() const;
  /// Of a million output tokens: the price, or without one the hours of a device; nothing without traffic.
  std::optional<double> cost() const;
};

/// The points of an evaluation against the parent: of models with as many KV heads the uptrained one.
/// @throws CheckpointError SWEEP_RESULTS where a model was not compared on any text
std::vector<SweepPoint> read_sweep_points(const Evaluation& evaluation, const std::string& path);

/// Marks the points that none beats: a cache as small and a mean loss as low, one of them more so. Likewise by cost, those
/// that have one.
void mark_pareto(std::vector<SweepPoint>& points);

/// The smallest number of KV heads that is within every tolerance, by the upper ends of 95 % intervals; nullptr where none is,
/// the parent apart.
const SweepPoint* smallest_within(const std::vector<SweepPoint>& points);

}  // namespace regroup
