// Scores of tasks.
#include <fmt/format.h>

#include <algorithm>

#include "report_document.h"

namespace regroup {
namespace {

const ReportTaskScore* find_score_of(const std::vector<ReportTaskScore>& scores,
                                     const ReportTaskScore& wanted) {
  const auto found = std::find_if(scores.begin(), scores.end(), [&](const ReportTaskScore& s) {
    return s.model == wanted.model && s.on == wanted.on;
  });
  return found == scores.end() ? nullptr : &*found;
}

/// "arc_easy, 5-shot": what a row is about.
std::string task_title(const TaskMetric& on) {
  return on.n_shot ? fmt::format("{}, {}-shot", on.task, *on.n_shot) : on.task;
}

std::string metric_title(const TaskMetric& on, const std::optional<bool>& higher_is_better) {
  std::string text = on.metric;
  if (on.filter != "none") text += fmt::format(" ({})", on.filter);
  if (higher_is_better) text += *higher_is_better ? " ↑" : " ↓";
  return text;
}

template <typename Get>
auto distinct(const std::vector<ReportTaskScore>& scores, const Get& get) {
  std::vector<std::decay_t<decltype(get(scores.front()))>> all;
  for (const ReportTaskScore& score : scores) {
    if (std::find(all.begin(), all.end(), get(score)) == all.end()) all.push_back(get(score));
  }
  return all;
}

Column model_column(const ReportData& data, const std::string& name) {
  for (const ReportModel& model : data.models) {
    if (model.name != name) continue;
    return {fmt::format("{} ({})", shorten_name(name), role_label(parse_role(model.role))),
            ColumnKind::kNumber};
  }
  return {shorten_name(name), ColumnKind::kNumber};
}

}  // namespace

void sections::tasks(const ReportData& data, std::vector<Section>& all) {
  if (data.task_scores.empty()) return;
  const auto models = distinct(data.task_scores, [](const auto& s) { return s.model; });
  const auto rows = distinct(data.task_scores, [](const auto& s) { return s.on; });
  Table table{.caption = "Scores of lm-evaluation-harness, with their standard errors",
              .columns = {{"Task"}, {"Metric"}, {"Items", ColumnKind::kNumber}},
              .rows = {}};
  for (const std::string& model : models) table.columns.push_back(model_column(data, model));
  for (const TaskMetric& on : rows) {
    std::vector<Cell> row = {{task_title(on)}, {}, {kNothing}};
    for (const std::string& model : models) {
      const ReportTaskScore* found = find_score_of(data.task_scores, {.model = model, .on = on});
      if (found == nullptr) {
        row.push_back({kNothing});
        continue;
      }
      row[1].text = metric_title(on, found->higher_is_better);
      if (found->samples > 0) row[2].text = grouped_digits(found->samples);
      row.push_back({measured_text(found->value)});
    }
    table.rows.push_back(std::move(row));
  }
  all.push_back({.id = "tasks", .title = "Tasks", .blocks = {std::move(table)}});
}

}  // namespace regroup
