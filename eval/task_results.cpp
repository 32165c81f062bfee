#include "regroup/eval/task_results.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/digest.h"
#include "regroup/tasks/harness_samples.h"
#include "regroup/tasks/task_settings.h"

namespace regroup {
namespace {

const char* output_type(TaskKind kind) {
  switch (kind) {
    case TaskKind::kMultipleChoice:
      return "multiple_choice";
    case TaskKind::kLoglikelihood:
      return "loglikelihood";
    case TaskKind::kRolling:
      return "loglikelihood_rolling";
    case TaskKind::kGenerate:
      return "generate_until";
  }
  return "";
}

std::string key_of(Measure measure, const char* what = "") {
  return fmt::format("{}{},{}", measure_name(measure), what, measure_filter(measure));
}

/// Numbers that are none are "N/A", as lm-eval writes them.
Json number(std::optional<double> value) {
  return value && std::isfinite(*value) ? Json(*value) : Json("N/A");
}

Json row_json(const TaskSummary& row) {
  Json json = {{"alias", row.name}, {"name", row.name}, {"sample_len", row.items}};
  for (const TaskScore& score : row.scores) {
    json[key_of(score.measure)] = number(score.value);
    json[key_of(score.measure, "_stderr")] = number(score.error);
  }
  return json;
}

/// Of several files a list.
Json data_digest(const Task& task) {
  if (task.files.size() < 2) return sha256_of_file(task.path);
  Json digests = Json::array();
  for (const std::string& path : task.files) digests.push_back(sha256_of_file(path));
  return digests;
}

Json config_json(const Task& task, const std::string& name) {
  Json metrics = Json::array();
  for (const Measure measure : task.definition.measures) {
    metrics.push_back(
        {{"metric", measure_name(measure)}, {"higher_is_better", higher_is_better(measure)}});
  }
  return {{"task", name},
          {"output_type", output_type(task.definition.kind)},
          {"num_fewshot", task.n_shot},
          {"target_delimiter", " "},
          {"fewshot_delimiter", "\n\n"},
          {"metric_list", metrics},
          {"data_sha256", data_digest(task)},
          {"metadata", {{"version", task.definition.version}}}};
}

/// What the rows right below a group agree on, as lm-evaluation-harness hands it up.
void describe_group(Json& model, const TaskSummary& group) {
  std::optional<Json> shots;
  for (const std::string& member : group.members) {
    model["group_subtasks"][group.name].push_back(member);
    const auto found = model["n-shot"].find(member);
    if (found == model["n-shot"].end()) continue;
    shots = !shots || *shots == *found ? std::optional(*found) : std::optional(Json());
    model["higher_is_better"][group.name].update(model["higher_is_better"][member]);
  }
  if (shots && !shots->is_null()) model["n-shot"][group.name] = *shots;
}

}  // namespace

void add_task_results(Json& model, size_t m, const std::vector<EvaluatedTask>& tasks,
                      const TaskOptions& options) {
  for (const EvaluatedTask& evaluated : tasks) {
    const Task& task = evaluated.task;
    const auto rows = summarize_task(task, evaluated.answers[m], options.bootstrap_iterations);
    for (const TaskSummary& row : rows) {
      model["results"][row.name] = row_json(row);
      if (row.is_group) {
        model["groups"][row.name] = row_json(row);
        model["versions"][row.name] = 2;
        describe_group(model, row);
        continue;
      }
      model["configs"][row.name] = config_json(task, row.name);
      if (m < evaluated.batch_tokens.size()) {
        model["configs"][row.name]["batch_tokens"] = evaluated.batch_tokens[m];
      }
      model["versions"][row.name] = task.definition.version;
      model["n-shot"][row.name] = task.n_shot;
      model["n-samples"][row.name] = {{"original", task.n_original.at(row.part)},
                                      {"effective", row.items}};
      for (const Measure measure : task.definition.measures) {
        model["higher_is_better"][row.name][std::string(measure_name(measure))] =
            higher_is_better(measure);
      }
    }
    for (const auto& [part, ids] : task.left_out) {
      model["regroup"]["left_out"][task_row_name(task, part)] = ids;
    }
    if (evaluated.truncated[m] > 0) {
      model["regroup"]["truncated_requests"][task.name] = evaluated.truncated[m];
    }
  }
  if (tasks.empty()) return;
  model["config"]["limit"] = options.limit > 0 ? Json(options.limit) : Json();
  model["config"]["bootstrap_iters"] = options.bootstrap_iterations;
  model["config"]["fewshot_seed"] = options.shot_seed;
  model["config"]["bos_mode"] = name_of(options.bos_mode);
  model["config"]["apply_chat_template"] = options.apply_chat_template;
  model["config"]["fewshot_as_multiturn"] =
      options.apply_chat_template && !options.fewshot_as_singleturn;
}

void write_task_samples(const EvaluatedTask& evaluated, size_t m, const std::string& model,
                        const std::function<void(std::string_view)>& write) {
  visit_harness_samples(evaluated.task, evaluated.answers[m],
                        [&](const std::string& row, Json line) {
                          line["task"] = row;
                          line["model"] = model;
                          write(harness_json(line) + "\n");
                        });
}

}  // namespace regroup
