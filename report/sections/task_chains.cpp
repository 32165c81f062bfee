#include "sections/task_chains.h"

#include <algorithm>
#include <initializer_list>
#include <set>

namespace regroup {
namespace {

bool has_task_score(const ReportData& data, const ReportModel& model) {
  return std::any_of(data.task_scores.begin(), data.task_scores.end(),
                     [&](const ReportTaskScore& score) { return score.model == model.name; });
}

/// Two of one number of heads are told apart by their folders.
void tell_apart(std::vector<TaskChain>& chains) {
  std::vector<bool> shared(chains.size());
  for (size_t i = 0; i < chains.size(); ++i) {
    shared[i] = std::count_if(chains.begin(), chains.end(), [&](const TaskChain& other) {
                  return other.label == chains[i].label;
                }) > 1;
  }
  for (size_t i = 0; i < chains.size(); ++i) {
    if (shared[i]) chains[i].label = shorten_name(chains[i].members.back().name);
  }
  if (chains.size() == 1) chains[0].label.clear();
}

}  // namespace

const std::vector<IntervalSeries>& role_series() {
  static const std::vector<IntervalSeries> kSeries = {
      {role_label(ModelRole::kBaseline), role_colour(ModelRole::kBaseline), Marker::kSquare},
      {role_label(ModelRole::kConverted), role_colour(ModelRole::kConverted), Marker::kTriangle},
      {role_label(ModelRole::kUptrained), role_colour(ModelRole::kUptrained), Marker::kCircle},
      {role_label(ModelRole::kModel), role_colour(ModelRole::kModel), Marker::kDiamond},
      {role_label(ModelRole::kControl), role_colour(ModelRole::kControl), Marker::kCircle}};
  return kSeries;
}

size_t role_series_of(ModelRole role) {
  switch (role) {
    case ModelRole::kBaseline:
      return 0;
    case ModelRole::kConverted:
      return 1;
    case ModelRole::kUptrained:
      return 2;
    case ModelRole::kControl:
      return 4;
    default:
      return 3;
  }
}

std::vector<TaskChain> task_chains(const ReportData& data) {
  const ReportModel* baseline = find_baseline(data);
  std::vector<TaskChain> chains;
  std::set<const ReportModel*> joined;
  const auto add = [&](std::initializer_list<const ReportModel*> models) {
    TaskChain chain;
    for (const ReportModel* model : models) {
      if (model == nullptr || !has_task_score(data, *model)) continue;
      chain.label = heads_text(model->n_kv_heads);
      chain.members.push_back({model->name, role_series_of(role_in(data, *model))});
      joined.insert(model);
    }
    if (chain.members.size() > 1) chains.push_back(std::move(chain));
  };
  for (const ReportModel& model : data.models) {
    if (model.role == "uptrained") add({baseline, find_converted(data, model), &model});
  }
  for (const ReportModel& model : data.models) {
    if (model.role != "baseline" && !joined.contains(&model)) add({baseline, &model});
  }
  tell_apart(chains);
  return chains;
}

TaskChain chain_of_names(const ReportData& data, std::vector<IntervalSeries>& series) {
  TaskChain chain;
  series.clear();
  for (const ReportTaskScore& score : data.task_scores) {
    const bool known = std::any_of(chain.members.begin(), chain.members.end(),
                                   [&](const auto& member) { return member.name == score.model; });
    if (known || series.size() == role_series().size()) continue;
    chain.members.push_back({score.model, series.size()});
    series.push_back({shorten_name(score.model), static_cast<int>(series.size()) + 1,
                      role_series()[series.size()].marker});
  }
  return chain;
}

}  // namespace regroup
