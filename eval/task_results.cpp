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

Metric metric_of(const TaskScore& score, int64_t items) {
  Metric metric{.name = std::string(measure_name(score.measure)),
                .filter = std::string(measure_filter(score.measure)),
                .direction = higher_is_better(score.measure) ? Direction::kHigherIsBetter
                                                             : Direction::kLowerIsBetter,
                .value = score.value,
                .items = items};
  if (score.error && std::isfinite(*score.error)) metric.error = score.error;
  return metric;
}

TaskResult task_result(const TaskSummary& row, const EvaluatedTask& evaluated, size_t m) {
  const Task& task = evaluated.task;
  TaskResult result{.name = row.name,
                    .metrics = {},
                    .items = row.items,
                    .n_shot = task.n_shot,
                    .is_group = row.is_group,
                    .members = row.members};
  for (const TaskScore& score : row.scores) result.metrics.push_back(metric_of(score, row.items));
  if (row.is_group) return result;
  result.original = task.n_original.at(row.part);
  result.version = fmt::format("{}", task.definition.version);
  result.output_type = output_type(task.definition.kind);
  if (m < evaluated.batch_tokens.size()) result.batch_tokens = evaluated.batch_tokens[m];
  const std::vector<std::string> files =
      task.files.size() < 2 ? std::vector{task.path} : task.files;
  for (const std::string& path : files) result.data_sha256.push_back(sha256_of_file(path));
  return result;
}

}  // namespace

void add_task_results(ModelResult& model, size_t m, const std::vector<EvaluatedTask>& tasks,
                      const TaskOptions& options) {
  for (const EvaluatedTask& evaluated : tasks) {
    const Task& task = evaluated.task;
    const auto rows = summarize_task(task, evaluated.answers[m], options.bootstrap_iterations);
    for (const TaskSummary& row : rows) model.tasks.push_back(task_result(row, evaluated, m));
    for (const auto& [part, ids] : task.left_out) {
      model.left_out.emplace_back(task_row_name(task, part), ids);
    }
    if (evaluated.truncated[m] > 0) model.truncated.emplace_back(task.name, evaluated.truncated[m]);
  }
  if (tasks.empty()) return;
  model.task_run =
      TaskRun{.limit = options.limit > 0 ? std::optional(options.limit) : std::nullopt,
              .bootstrap_iterations = options.bootstrap_iterations,
              .shot_seed = static_cast<int64_t>(options.shot_seed),
              .bos_mode = name_of(options.bos_mode),
              .apply_chat_template = options.apply_chat_template,
              .as_multiturn = options.apply_chat_template && !options.fewshot_as_singleturn};
}

void write_task_samples(const EvaluatedTask& evaluated, size_t m, const std::string& model,
                        const std::function<void(std::string_view)>& write) {
  visit_harness_samples(evaluated.task, evaluated.answers[m],
                        [&](const std::string& row, Json line) {
                          line["format"] = kAnswersFormat;
                          line["task"] = row;
                          line["model"] = model;
                          write(harness_json(line) + "\n");
                        });
}

}  // namespace regroup
