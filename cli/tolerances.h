#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "sweep_points.h"

namespace regroup {

enum class ToleranceKind { kLoss, kTask, kProbe };

/// How much worse than its parent a model may be.
struct Tolerance {
  ToleranceKind kind = ToleranceKind::kLoss;
  std::string name;    ///< of the task or probe; "" for the loss: of every text
  std::string metric;  ///< of the task: "acc"
  double limit = 0;    ///< kTask: points, hundredths of the metric; else nats a token
};

/// --tolerance, --tolerance-task and --tolerance-probe.
struct ToleranceFlags {
  std::optional<double> loss;
  std::vector<std::string> tasks;   ///< "NAME=POINTS" or "NAME:METRIC=POINTS"
  std::vector<std::string> probes;  ///< "NAME=NATS"
};

/// @param tasks, probes  that the models are asked, as --task and --probe name them
/// @throws ConfigError FLAG_VALUE; TASK_UNKNOWN, PROBE_UNKNOWN with the nearest name; and as open_task() does for files
std::vector<Tolerance> parse_tolerances(const ToleranceFlags& flags,
                                        const std::vector<std::string>& tasks,
                                        const std::vector<std::string>& probes);

/// "loss 0.05 nats a token", "piqa acc 1 point", "passkey 0.1 nats a token"
std::string tolerance_text(const Tolerance& tolerance);
/// "nats a token" or "points"
std::string tolerance_unit(const Tolerance& tolerance);
/// "loss", "task" or "probe"
const char* tolerance_kind(ToleranceKind kind);

/// Holds every point but the parent's against every tolerance: SweepPoint::checks.
/// @param path  of the evaluation, for errors
/// @throws CheckpointError SWEEP_RESULTS where a task or a probe was not compared with the parent
void check_tolerances(const std::vector<Tolerance>& tolerances, const std::string& path,
                      std::vector<SweepPoint>& points);

}  // namespace regroup
