// Scores of tasks, as lm-evaluation-harness writes them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/questions.h"
#include "kinds/result_kind.h"
#include "regroup/base/error.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

const ReportTaskScore* find_same(const std::vector<ReportTaskScore>& scores,
                                 const ReportTaskScore& wanted) {
  const auto found = std::find_if(scores.begin(), scores.end(), [&](const ReportTaskScore& s) {
    return s.model == wanted.model && s.on == wanted.on;
  });
  return found == scores.end() ? nullptr : &*found;
}

using Scores = std::vector<ReportTaskScore>;

void add_task(const std::string& model, const TaskResult& task, Scores& scores) {
  for (const Metric& metric : task.metrics) {
    ReportTaskScore score{.model = model,
                          .on = {.task = task.name,
                                 .metric = metric.name,
                                 .filter = metric.filter,
                                 .n_shot = task.n_shot},
                          .value = {metric.value, metric.error},
                          .higher_is_better = {},
                          .samples = metric.items,
                          .paired = {},
                          .version = task.version};
    if (metric.direction != Direction::kUnknown) {
      score.higher_is_better = metric.direction == Direction::kHigherIsBetter;
    }
    if (find_same(scores, score) == nullptr) scores.push_back(std::move(score));
  }
}

/// Whether two files say the same of a model and task; NaN is NaN.
bool same_outcome(const ReportTaskScore& a, const ReportTaskScore& b) {
  const bool no_numbers = std::isnan(a.value.value) && std::isnan(b.value.value);
  return (no_numbers || a.value.value == b.value.value) && a.samples == b.samples &&
         a.version == b.version;
}

/// The model's name. The same model measured twice with another outcome is shown twice, by the names of the files.
std::string free_name(Scores scores, const std::string& stem, const ReportData& data) {
  const std::string model = scores.front().model;
  for (int n = 1;; ++n) {
    const bool differs =
        std::any_of(scores.begin(), scores.end(), [&](const ReportTaskScore& score) {
          const ReportTaskScore* known = find_same(data.task_scores, score);
          return known != nullptr && !same_outcome(*known, score);
        });
    if (!differs) return scores.front().model;
    const std::string name =
        n == 1 ? fmt::format("{} ({})", model, stem) : fmt::format("{} ({}, {})", model, stem, n);
    for (ReportTaskScore& score : scores) score.model = name;
  }
}

void add(const Json& json, const std::string& path, ReportData& data) {
  add_task_scores(read_harness_tasks(json, path), path, data);
}

Json paired_json(const ReportPaired& paired) {
  return {{"delta", paired.delta.value},
          {"stderr", optional_json(paired.delta.error)},
          {"ci95", {paired.low, paired.high}},
          {"p", paired.p},
          {"right_to_wrong", optional_json(paired.broken)},
          {"wrong_to_right", optional_json(paired.mended)},
          {"margin", optional_json(paired.margin)},
          {"items_needed", paired.items_needed},
          {"recovery", optional_json(paired.recovery)}};
}

Json task_score_json(const ReportTaskScore& score) {
  return {{"model", score.model},
          {"task", score.on.task},
          {"metric", score.on.metric},
          {"filter", score.on.filter},
          {"n_shot", score.on.n_shot ? Json(*score.on.n_shot) : Json()},
          {"version", score.version.empty() ? Json() : Json(score.version)},
          {"value", score.value.value},
          {"stderr", score.value.error ? Json(*score.value.error) : Json()},
          {"higher_is_better", score.higher_is_better ? Json(*score.higher_is_better) : Json()},
          {"samples", score.samples},
          {"paired", score.paired ? paired_json(*score.paired) : Json()}};
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportTaskScore& score : data.task_scores) {
    text += csv_line(
        {.section = "tasks",
         .model = score.model,
         .metric = fmt::format("{}:{},{}", score.on.task, score.on.metric, score.on.filter),
         .x = score.on.n_shot ? std::to_string(*score.on.n_shot) : "",
         .value = std::isfinite(score.value.value) ? csv_number(score.value.value) : "",
         .error = score.value.error ? csv_number(*score.value.error) : "",
         .n = std::to_string(score.samples)});
    if (!score.paired) continue;
    text +=
        csv_line({.section = "tasks-against-baseline",
                  .model = score.model,
                  .metric = fmt::format("{}:{}", score.on.task, score.on.metric),
                  .value = csv_number(score.paired->delta.value),
                  .error = score.paired->delta.error ? csv_number(*score.paired->delta.error) : "",
                  .n = std::to_string(score.samples)});
  }
  return text;
}

Json json(const ReportData& data) { return list_json(data.task_scores, task_score_json); }

}  // namespace

void add_task_scores(const HarnessTasks& tasks, const std::string& path, ReportData& data) {
  Scores scores;
  for (const TaskResult& task : tasks.tasks) add_task(tasks.model, task, scores);
  if (std::none_of(scores.begin(), scores.end(),
                   [](const ReportTaskScore& s) { return std::isfinite(s.value.value); })) {
    throw ConfigError({.code = "REPORT_INPUT",
                       .message = "holds tasks without a single score",
                       .path = path,
                       .hint = "give the results_*.json of a finished evaluation"});
  }
  const std::string name = free_name(scores, std::filesystem::path(path).stem().string(), data);
  for (ReportTaskScore& score : scores) {
    score.model = name;
    if (find_same(data.task_scores, score) == nullptr) data.task_scores.push_back(std::move(score));
  }
}

const ResultKind kinds::tasks{
    .name = "lm-evaluation-harness", .add = add, .key = "tasks", .json = json, .csv = csv};

}  // namespace regroup
