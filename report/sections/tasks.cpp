// Scores of tasks.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

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

/// What the interval of a difference says.
std::string verdict(const ReportPaired& paired) {
  const double margin = paired.margin.value_or(0);
  if (paired.low > 0) return "better";
  if (paired.high < 0) return paired.low > -margin ? "slightly worse" : "worse";
  const bool open = margin > 0 && paired.low <= -margin;
  return open ? "no difference seen, too few items" : "no difference seen";
}

/// What the verdict would need, and what uptraining gave back.
std::string verdict_note(const ReportPaired& paired) {
  if (paired.no_gap) return "no measurable gap to recover";
  if (paired.recovery) return fmt::format("recovery {:.1f} %", 100 * *paired.recovery);
  if (paired.items_needed == 0) return "";
  return fmt::format("{} questions show a difference of {}", grouped_digits(paired.items_needed),
                     short_number(paired.margin.value_or(0)));
}

/// Perplexity is compared by the log-likelihood of items.
std::string difference_title(const ReportTaskScore& score) {
  return score.on.metric == "perplexity" ? "log-likelihood" : score.on.metric;
}

/// Each model against the baseline on the same questions; no table where nothing was compared.
std::optional<Table> paired_table(const ReportData& data) {
  Table table{.caption =
                  "Against the baseline on the same questions, with 95 % intervals of the "
                  "paired bootstrap; p is corrected for the number of tasks (Holm)",
              .columns = {{"Task"},
                          {"Model"},
                          {"Difference", ColumnKind::kNumber},
                          {"p", ColumnKind::kNumber},
                          {"Broken", ColumnKind::kNumber},
                          {"Mended", ColumnKind::kNumber},
                          {"Verdict"}},
              .rows = {}};
  const auto count = [](const std::optional<int64_t>& n) {
    return n ? grouped_digits(*n) : std::string(kNothing);
  };
  for (const ReportTaskScore& score : data.task_scores) {
    if (!score.paired) continue;
    const ReportPaired& paired = *score.paired;
    table.rows.push_back({{.text = task_title(score.on), .note = difference_title(score)},
                          {shorten_name(score.model)},
                          {.text = measured_text(paired.delta),
                           .note = fmt::format("{:.4f} to {:.4f}", paired.low, paired.high)},
                          {short_number(paired.p)},
                          {count(paired.broken)},
                          {count(paired.mended)},
                          {.text = verdict(paired), .note = verdict_note(paired)}});
  }
  return table.rows.empty() ? std::nullopt : std::optional(std::move(table));
}

}  // namespace

void sections::tasks(const ReportData& data, std::vector<Section>& all) {
  if (data.task_scores.empty()) return;
  const auto models = distinct(data.task_scores, [](const auto& s) { return s.model; });
  const auto rows = distinct(data.task_scores, [](const auto& s) { return s.on; });
  Table table{.caption = "Scores of tasks, with their standard errors",
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
  Section section{.id = "tasks", .title = "Tasks", .blocks = {std::move(table)}};
  if (auto paired = paired_table(data)) section.blocks.push_back(std::move(*paired));
  all.push_back(std::move(section));
}

}  // namespace regroup
