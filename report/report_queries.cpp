#include "report_queries.h"

#include <algorithm>
#include <cmath>

namespace regroup {

ModelRole role_in(const ReportData& data, const std::string& role, int64_t n_kv_heads) {
  const ModelRole own = parse_role(role);
  const ReportModel* baseline = find_baseline(data);
  const bool same_heads = baseline != nullptr && baseline->n_kv_heads == n_kv_heads;
  return own == ModelRole::kUptrained && same_heads ? ModelRole::kControl : own;
}

ModelRole role_in(const ReportData& data, const ReportModel& model) {
  return role_in(data, model.role, model.n_kv_heads);
}

const ReportModel* find_baseline(const ReportData& data) {
  for (const ReportModel& model : data.models) {
    if (model.role == "baseline") return &model;
  }
  return nullptr;
}

const ReportModel* find_converted(const ReportData& data, int64_t n_kv_heads) {
  for (const ReportModel& model : data.models) {
    if (model.role == "converted" && model.n_kv_heads == n_kv_heads) return &model;
  }
  return nullptr;
}

namespace {

/// Of several nobody knows which one is meant.
const ReportModel* only_converted(const ReportData& data, int64_t n_kv_heads) {
  const auto several =
      std::count_if(data.models.begin(), data.models.end(), [&](const auto& model) {
        return model.role == "converted" && model.n_kv_heads == n_kv_heads;
      });
  return several == 1 ? find_converted(data, n_kv_heads) : nullptr;
}

}  // namespace

const ReportModel* find_converted(const ReportData& data, const ReportUptraining& run) {
  for (const ReportModel& model : data.models) {
    if (model.role == "converted" && model.name == run.model) return &model;
  }
  return only_converted(data, run.n_kv_heads);
}

const ReportModel* find_converted(const ReportData& data, const ReportModel& uptrained) {
  if (!uptrained.started_from.empty()) {  // as eval pairs them
    const auto found = std::find_if(data.models.begin(), data.models.end(), [&](const auto& model) {
      return model.role == "converted" && model.digest == uptrained.started_from;
    });
    return found == data.models.end() ? nullptr : &*found;
  }
  const ReportUptraining* run = find_uptraining(data, uptrained);
  return run != nullptr ? find_converted(data, *run) : only_converted(data, uptrained.n_kv_heads);
}

const ReportUptraining* find_uptraining(const ReportData& data, const ReportModel& model) {
  std::vector<const ReportUptraining*> candidates;
  for (const ReportUptraining& run : data.uptrainings) {
    if (run.n_kv_heads == model.n_kv_heads) candidates.push_back(&run);
  }
  if (candidates.size() == 1) return candidates[0];
  for (const ReportUptraining* run : candidates) {  // OUT/metrics.jsonl made OUT/model
    const size_t slash = run->path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : run->path.substr(0, slash + 1);
    if (!folder.empty() && model.name.starts_with(folder)) return run;
  }
  return nullptr;
}

std::vector<EvaluatedOn> evaluations(const ReportData& data) {
  std::vector<EvaluatedOn> all;
  for (const ReportModel& model : data.models) {
    for (const ReportScore& score : model.scores) {
      if (std::find(all.begin(), all.end(), score.on) == all.end()) all.push_back(score.on);
    }
  }
  return all;
}

const ReportScore* find_score(const ReportModel& model, const EvaluatedOn& on) {
  for (const ReportScore& score : model.scores) {
    if (score.on == on) return &score;
  }
  return nullptr;
}

bool no_measurable_gap(const ReportScore& converted) {
  const auto& delta = converted[metric::kLossDelta];
  return delta && delta->error && std::abs(delta->value) <= 2 * *delta->error;
}

Scored scored_on(const ReportData& data, const EvaluatedOn& on) {
  Scored scored;
  for (const ReportModel& model : data.models) {
    if (const ReportScore* score = find_score(model, on)) scored.emplace_back(&model, score);
  }
  return scored;
}

}  // namespace regroup
