#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// The shares of the gap whose crossings are read off.
inline constexpr std::array<int, 3> kRecoveryPercents = {50, 90, 99};

enum class Reached { kAtTheStart, kLater, kNever };
struct Crossing {
  Reached reached = Reached::kNever;
  double tokens = 0;  ///< between two validations; 0 at the start
};

/// Where a curve first is at or below `loss`, by linear interpolation between validations.
Crossing first_crossing(const std::vector<CurvePoint>& curve, double loss);

struct RecoveryRun {
  const ReportUptraining* run = nullptr;
  std::string label;  ///< "mean + CE"; no two of a group are equal
  std::array<Crossing, kRecoveryPercents.size()> crossings = {};  ///< as in kRecoveryPercents
};

/// The uptraining runs of one number of KV heads that were validated on the same windows.
struct Recovery {
  int64_t n_kv_heads = 0;
  std::vector<RecoveryRun> runs;
  std::vector<RecoveryRun> controls;  ///< the parent, trained on; nothing is read off them
  double parent_loss = 0;
  bool parent_by_control = false;  ///< else eval measured it, perhaps on another text
  size_t worst = 0;                ///< the run whose start is the gap's upper end

  double worst_loss() const { return runs[worst].run->valid.front().loss; }
  double gap() const { return worst_loss() - parent_loss; }
  bool has_gap() const { return gap() > 0; }
};

/// One for each number of KV heads with several runs, or a run and a control, whose parent's loss is
/// known. Runs without a validation before their first step have no place in it.
std::vector<Recovery> find_recoveries(const ReportData& data);

/// "mean + CE", "pca (calibrated) + KL", "control".
std::string run_label(const ReportData& data, const ReportUptraining& run);

/// ", mean + CE" where several runs have as many KV heads, ", control"; else nothing.
std::string run_suffix(const ReportData& data, const ReportUptraining& run);

/// "To 90 % of the gap at 2 KV heads: ..."
std::string recovery_sentence(const Recovery& recovery);

}  // namespace regroup
