// Scores of tasks, as lm-evaluation-harness writes them.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "regroup/base/error.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

/// "acc,none" or, in older files, "acc": the metric and the filter of the answers.
std::pair<std::string, std::string> metric_and_filter(const std::string& key) {
  const size_t comma = key.find(',');
  if (comma == std::string::npos) return {key, "none"};
  return {key.substr(0, comma), key.substr(comma + 1)};
}

std::string stderr_key(const std::string& key) {
  const auto [metric, filter] = metric_and_filter(key);
  return metric + "_stderr" + (key == metric ? "" : "," + filter);
}

/// What is a count of items, or belongs to another number.
bool is_no_metric(const std::string& metric) {
  return metric.ends_with("_stderr") || metric == "sample_len" || metric == "sample_count" ||
         metric == "samples";
}

std::optional<int64_t> count_in(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<int64_t>();
}

const ReportTaskScore* find_same(const std::vector<ReportTaskScore>& scores,
                                 const ReportTaskScore& wanted) {
  const auto found = std::find_if(scores.begin(), scores.end(), [&](const ReportTaskScore& s) {
    return s.model == wanted.model && s.on == wanted.on;
  });
  return found == scores.end() ? nullptr : &*found;
}

using Scores = std::vector<ReportTaskScore>;

void add_task(const std::string& task, const Json& result, const Json& file,
              const std::string& model, Scores& scores) {
  const Json& samples = object_in(object_in(file, "n-samples"), task);
  const Json& directions = object_in(object_in(file, "higher_is_better"), task);
  for (const auto& [key, value] : result.items()) {
    const auto [metric, filter] = metric_and_filter(key);
    if (!value.is_number() || is_no_metric(metric)) continue;
    ReportTaskScore score;
    score.model = model;
    score.on = {.task = task,
                .metric = metric,
                .filter = filter,
                .n_shot = count_in(object_in(file, "n-shot"), task)};
    score.value.value = value.get<double>();
    const auto error = result.find(stderr_key(key));
    if (error != result.end() && error->is_number()) score.value.error = error->get<double>();
    score.samples = count_in(samples, "effective").value_or(0);
    if (const auto up = directions.find(metric); up != directions.end() && up->is_boolean()) {
      score.higher_is_better = up->get<bool>();
    }
    if (find_same(scores, score) == nullptr) scores.push_back(std::move(score));
  }
}

/// "pretrained=a/b,dtype=float32" -> "a/b".
std::string pretrained(const std::string& arguments) {
  constexpr std::string_view kKey = "pretrained=";
  const size_t at = arguments.find(kKey);
  if (at == std::string::npos) return {};
  const size_t start = at + kKey.size();
  return arguments.substr(start, arguments.find(',', start) - start);
}

std::string model_of(const Json& file, const std::string& path) {
  const auto text = [](const Json& json, const char* key) {
    const auto found = json.find(key);
    return found != json.end() && found->is_string() ? found->get<std::string>() : std::string();
  };
  const Json& config = object_in(file, "config");
  const Json& arguments = object_in(config, "model_args");
  for (const std::string& name : {text(file, "model_name"), text(arguments, "pretrained"),
                                  pretrained(text(config, "model_args"))}) {
    if (!name.empty()) return name;
  }
  return std::filesystem::path(path).stem().string();
}

bool matches(const Json& json) {
  const auto results = json.find("results");
  if (results == json.end() || !results->is_object() || results->empty()) return false;
  if (!json.contains("versions") && !json.contains("configs") && !json.contains("config"))
    return false;
  return std::all_of(results->begin(), results->end(), [](const Json& j) { return j.is_object(); });
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const std::string model = model_of(json, path);
  Scores scores;
  // Groups stand in both, with the same numbers, but for versions that kept them apart.
  for (const char* part : {"results", "groups"}) {
    for (const auto& [task, result] : object_in(json, part).items()) {
      if (result.is_object()) add_task(task, result, json, model, scores);
    }
  }
  if (scores.empty()) {
    throw ConfigError({.code = "REPORT_INPUT",
                       .message = "holds tasks without a single score",
                       .path = path,
                       .hint = "give the results_*.json of a finished evaluation"});
  }
  // The same model measured twice with another outcome is shown twice, by the names of the files.
  const bool differs = std::any_of(scores.begin(), scores.end(), [&](const ReportTaskScore& score) {
    const ReportTaskScore* known = find_same(data.task_scores, score);
    return known != nullptr && known->value.value != score.value.value;
  });
  const std::string stem = std::filesystem::path(path).stem().string();
  for (ReportTaskScore& score : scores) {
    if (differs) score.model = fmt::format("{} ({})", model, stem);
    if (find_same(data.task_scores, score) == nullptr) data.task_scores.push_back(std::move(score));
  }
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
         .value = csv_number(score.value.value),
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

const ResultKind kinds::tasks{.name = "lm-evaluation-harness",
                              .matches = matches,
                              .add = add,
                              .key = "tasks",
                              .json = json,
                              .csv = csv};

}  // namespace regroup
