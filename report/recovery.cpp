// Read off the curves of several runs: when has each closed how much of the gap to the parent?
#include "recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/human_number.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {
namespace {

/// Losses on the same windows of the same text compare.
bool same_validation(const ReportUptraining& a, const ReportUptraining& b) {
  return a.valid_text == b.valid_text && a.seq_len == b.seq_len;
}

bool starts_validated(const ReportUptraining& run) {
  return !run.valid.empty() && run.valid.front().step == 0;
}

int64_t parent_kv_heads(const ReportData& data) {
  if (const ReportModel* baseline = find_baseline(data)) return baseline->n_kv_heads;
  int64_t max = 0;
  for (const ReportUptraining& run : data.uptrainings) max = std::max(max, run.parent_kv_heads);
  return max;
}

bool is_control(const ReportData& data, const ReportUptraining& run) {
  return run.n_kv_heads > 0 && run.n_kv_heads == parent_kv_heads(data);
}

std::string objective(const ReportUptraining& run) {
  const double kl = run.kl_weight.value_or(1);
  if (run.teacher.empty() || kl == 0) return "CE";
  std::string text = kl == 1 ? "KL" : fmt::format("{:.3g} KL + {:.3g} CE", kl, 1 - kl);
  if (run.temperature.value_or(1) != 1) text += fmt::format(" (T = {:.3g})", *run.temperature);
  return text;
}

/// The last part of a folder's path.
std::string folder_name(std::string path) {
  while (path.size() > 1 && path.ends_with('/')) path.pop_back();
  return path.substr(path.rfind('/') + 1);
}

/// What may tell two runs of one label apart, best first.
std::array<std::string, 3> distinctions(const ReportUptraining& run) {
  const size_t slash = run.path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : run.path.substr(0, slash);
  return {fmt::format("{} tokens", human_count(static_cast<double>(run.tokens))),
          folder_name(folder), run.path};
}

/// Equal labels get the budget, the run's folder or the file: whatever differs.
void tell_apart(std::vector<RecoveryRun>& runs) {
  for (size_t d = 0; d < 3; ++d) {
    std::vector<std::string> labels;
    for (const RecoveryRun& run : runs) {
      const std::string distinction = distinctions(*run.run)[d];
      const bool differs = std::any_of(runs.begin(), runs.end(), [&](const RecoveryRun& other) {
        return other.label == run.label && distinctions(*other.run)[d] != distinction;
      });
      labels.push_back(differs ? run.label + ", " + distinction : run.label);
    }
    for (size_t r = 0; r < runs.size(); ++r) runs[r].label = labels[r];
  }
}

/// The group of `first` and of every later run that compares with it; `done` marks them.
Recovery collect_group(const ReportData& data, size_t first, std::vector<bool>& done) {
  const auto& all = data.uptrainings;
  Recovery group{.n_kv_heads = all[first].n_kv_heads, .runs = {}, .controls = {}};
  for (size_t r = 0; r < all.size(); ++r) {
    if (!starts_validated(all[r]) || !same_validation(all[r], all[first])) continue;
    const RecoveryRun run{.run = &all[r], .label = run_label(data, all[r])};
    if (is_control(data, all[r])) {
      group.controls.push_back(run);
    } else if (all[r].n_kv_heads == group.n_kv_heads) {
      group.runs.push_back(run);
      done[r] = true;
    }
  }
  tell_apart(group.runs);
  tell_apart(group.controls);
  return group;
}

/// The parent's loss: the control before its first step, or else what eval measured.
std::optional<double> parent_loss(const ReportData& data, Recovery& group) {
  group.parent_by_control = !group.controls.empty();
  if (group.parent_by_control) return group.controls.front().run->valid.front().loss;
  const ReportModel* baseline = find_baseline(data);
  if (baseline == nullptr || baseline->scores.empty()) return std::nullopt;
  const auto& loss = baseline->scores.front()[metric::kLoss];
  return loss ? std::optional(loss->value) : std::nullopt;
}

void read_off(Recovery& group) {
  const auto start = [](const RecoveryRun& run) { return run.run->valid.front().loss; };
  const auto worst =
      std::max_element(group.runs.begin(), group.runs.end(),
                       [&](const auto& a, const auto& b) { return start(a) < start(b); });
  group.worst = static_cast<size_t>(worst - group.runs.begin());
  if (!group.has_gap()) return;
  for (RecoveryRun& run : group.runs) {
    for (size_t p = 0; p < kRecoveryPercents.size(); ++p) {
      const double left = 1 - kRecoveryPercents[p] / 100.0;
      run.crossings[p] = first_crossing(run.run->valid, group.parent_loss + left * group.gap());
    }
  }
}

}  // namespace

Crossing first_crossing(const std::vector<CurvePoint>& curve, double loss) {
  const auto at = std::find_if(curve.begin(), curve.end(),
                               [&](const CurvePoint& point) { return point.loss <= loss; });
  if (at == curve.end()) return {};
  if (at == curve.begin()) return {.reached = Reached::kAtTheStart};
  const CurvePoint& before = *(at - 1);
  const double share = (before.loss - loss) / (before.loss - at->loss);
  const auto tokens = static_cast<double>(at->tokens - before.tokens);
  return {.reached = Reached::kLater,
          .tokens = static_cast<double>(before.tokens) + share * tokens};
}

std::string run_label(const ReportData& data, const ReportUptraining& run) {
  const std::string objective_text = objective(run);
  if (is_control(data, run)) {
    return objective_text == "CE" ? "control" : "control, " + objective_text;
  }
  std::string method = run.method.empty() ? shorten_name(folder_name(run.model)) : run.method;
  if (run.calibrated) method += " (calibrated)";
  return method + " + " + objective_text;
}

std::string run_suffix(const ReportData& data, const ReportUptraining& run) {
  const auto same =
      std::count_if(data.uptrainings.begin(), data.uptrainings.end(),
                    [&](const auto& other) { return other.n_kv_heads == run.n_kv_heads; });
  const bool named = same > 1 || is_control(data, run);
  return named ? ", " + shorten_name(run_label(data, run)) : "";
}

std::vector<Recovery> find_recoveries(const ReportData& data) {
  std::vector<Recovery> recoveries;
  std::vector<bool> done(data.uptrainings.size(), false);
  for (size_t r = 0; r < data.uptrainings.size(); ++r) {
    const ReportUptraining& run = data.uptrainings[r];
    if (done[r] || !starts_validated(run) || is_control(data, run)) continue;
    Recovery group = collect_group(data, r, done);
    const std::optional<double> parent = parent_loss(data, group);
    if (!parent || group.runs.size() + group.controls.size() < 2) continue;
    group.parent_loss = *parent;
    read_off(group);
    recoveries.push_back(std::move(group));
  }
  return recoveries;
}

}  // namespace regroup
