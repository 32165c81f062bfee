// Scores of tasks.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"
#include "sections/models.h"
#include "sections/task_charts.h"

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

/// What a score does not share with the others of its row.
std::string unlike_note(const ReportTaskScore& score, const ReportTaskScore& first) {
  std::string note;
  const auto add = [&](const std::string& text) { note += (note.empty() ? "" : ", ") + text; };
  if (score.samples != first.samples && first.samples > 0) {
    add(score.samples > 0 ? fmt::format("of {} items", grouped_digits(score.samples))
                          : "items not known");
  }
  if (score.version != first.version && !score.version.empty() && !first.version.empty()) {
    add(fmt::format("version {}, not {}", score.version, first.version));
  }
  return note;
}

template <typename Get>
auto distinct(const std::vector<ReportTaskScore>& scores, const Get& get) {
  std::vector<std::decay_t<decltype(get(scores.front()))>> all;
  for (const ReportTaskScore& score : scores) {
    if (std::find(all.begin(), all.end(), get(score)) == all.end()) all.push_back(get(score));
  }
  return all;
}

constexpr double kSignificant = 0.05;
constexpr size_t kModelsAcross = 5;  // a table that a page of 1,000 pixels is wide enough for

/// What the interval of a difference says, and p: an interval knows nothing of how many tasks were looked at.
std::string verdict(const ReportPaired& paired) {
  const double margin = paired.margin.value_or(0);
  const bool certain = paired.p <= kSignificant;
  if (paired.low > 0) return certain ? "better" : "perhaps better";
  if (paired.high < 0) {
    if (!certain) return "perhaps worse";
    return paired.low > -margin ? "slightly worse" : "worse";
  }
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
                          {"Items", ColumnKind::kNumber},
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
                          {model_label(data, score.model)},
                          {score.samples > 0 ? grouped_digits(score.samples) : kNothing},
                          {.text = measured_text(paired.delta),
                           .note = fmt::format("{:.4f} to {:.4f}", paired.low, paired.high)},
                          {short_number(paired.p)},
                          {count(paired.broken)},
                          {count(paired.mended)},
                          {.text = verdict(paired), .note = verdict_note(paired)}});
  }
  return table.rows.empty() ? std::nullopt : std::optional(std::move(table));
}

/// @param unlike  what the score does not share with its row; "" for nothing
Cell score_cell(const ReportTaskScore& score, const std::string& unlike) {
  if (std::isnan(score.value.value)) return {.text = "no number", .note = unlike};
  if (!unlike.empty()) return {.text = measured_text(score.value), .note = unlike};
  return measured_cell(score.value, 1, "");
}

/// Of all models: what stands in front of a row's scores.
struct RowStart {
  const ReportTaskScore* first = nullptr;  ///< that the others are compared with
  std::optional<bool> higher_is_better;
};

RowStart start_of_row(const ReportData& data, const std::vector<std::string>& models,
                      const TaskMetric& on) {
  RowStart start;
  for (const std::string& model : models) {
    const ReportTaskScore* found = find_score_of(data.task_scores, {.model = model, .on = on});
    if (found == nullptr) continue;
    if (start.first == nullptr) start.first = found;
    if (!start.higher_is_better) start.higher_is_better = found->higher_is_better;
  }
  return start;
}

/// The scores of `models` on the task of `start`.
std::vector<Cell> scores_row(const ReportData& data, const std::vector<std::string>& models,
                             const RowStart& start) {
  const TaskMetric& on = start.first->on;
  std::vector<Cell> row = {
      {task_title(on)},
      {metric_title(on, start.higher_is_better)},
      {start.first->samples > 0 ? grouped_digits(start.first->samples) : std::string(kNothing)}};
  for (const std::string& model : models) {
    const ReportTaskScore* found = find_score_of(data.task_scores, {.model = model, .on = on});
    row.push_back(found == nullptr ? Cell{kNothing}
                                   : score_cell(*found, unlike_note(*found, *start.first)));
  }
  return row;
}

bool has_score(const ReportData& data, const std::vector<std::string>& models,
               const TaskMetric& on) {
  return std::any_of(models.begin(), models.end(), [&](const std::string& model) {
    return find_score_of(data.task_scores, {.model = model, .on = on}) != nullptr;
  });
}

/// The models of each table, the baseline (or the first) before the others of every one.
std::vector<std::vector<std::string>> groups_of(const ReportData& data,
                                                std::vector<std::string> models) {
  if (models.size() <= kModelsAcross) return {std::move(models)};
  const ReportModel* baseline = find_baseline(data);
  auto shared = baseline == nullptr ? models.begin()
                                    : std::find(models.begin(), models.end(), baseline->name);
  if (shared == models.end()) shared = models.begin();
  std::rotate(models.begin(), shared, shared + 1);
  std::vector<std::vector<std::string>> groups;
  for (size_t at = 1; at < models.size(); ++at) {
    if (groups.empty() || groups.back().size() == kModelsAcross) groups.push_back({models.front()});
    groups.back().push_back(models[at]);
  }
  return groups;
}

/// Tables that a page is wide enough for.
std::vector<Table> score_tables(const ReportData& data) {
  const auto models = distinct(data.task_scores, [](const auto& s) { return s.model; });
  const auto rows = distinct(data.task_scores, [](const auto& s) { return s.on; });
  const auto groups = groups_of(data, models);
  std::vector<Table> tables;
  for (const std::vector<std::string>& group : groups) {
    Table table{.caption = "Scores of tasks, with their standard errors",
                .columns = {{"Task"}, {"Metric"}, {"Items", ColumnKind::kNumber}},
                .rows = {}};
    const size_t number = tables.size() + 1;
    if (groups.size() > 1) {
      table.caption += fmt::format(": {} of {} tables", number, groups.size());
    }
    for (const std::string& model : group) {
      table.columns.push_back({model_label(data, model), ColumnKind::kNumber});
    }
    const std::vector<std::string> own(group.begin() + (number > 1 ? 1 : 0), group.end());
    for (const TaskMetric& on : rows) {
      if (groups.size() > 1 && !has_score(data, own, on)) continue;
      table.rows.push_back(scores_row(data, group, start_of_row(data, models, on)));
    }
    tables.push_back(std::move(table));
  }
  return tables;
}

bool has_unlike(const std::vector<std::vector<Cell>>& rows) {
  const auto is_unlike = [](const Cell& cell) {
    return !cell.note.empty() && !cell.note.starts_with("±");
  };
  return std::any_of(rows.begin(), rows.end(), [&](const auto& row) {
    return std::any_of(row.begin(), row.end(), is_unlike);
  });
}

}  // namespace

void sections::tasks(const ReportData& data, std::vector<Section>& all) {
  if (data.task_scores.empty()) return;
  Section section{.id = "tasks", .title = "Tasks", .blocks = {}};
  bool unlike = false;
  for (Table& table : score_tables(data)) {
    unlike = unlike || has_unlike(table.rows);
    section.blocks.push_back(std::move(table));
  }
  if (unlike) {
    section.blocks.push_back(
        Paragraph{"A number with a note was not measured as the first one of its row was: on "
                  "other items, or with another version of the task. It does not compare."});
  }
  if (auto paired = paired_table(data)) section.blocks.push_back(std::move(*paired));
  add_task_charts(data, section);
  all.push_back(std::move(section));
}

}  // namespace regroup
