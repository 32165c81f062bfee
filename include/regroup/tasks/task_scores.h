#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/tasks/task.h"
#include "regroup/tasks/token_request.h"

namespace regroup {

/// What a model said to every item of a task.
struct TaskAnswers {
  std::vector<std::vector<RequestScore>> scores =
      {};                               ///< [items][requests]; empty where text is generated
  std::vector<std::string> texts = {};  ///< [items] of TaskKind::kGenerate
};

/// What the items of a task came to, by one measure.
struct TaskScore {
  Measure measure;
  double value = 0;
  std::optional<double> error;  ///< standard error; nothing where lm-evaluation-harness has none
};

/// A row of results: a task, a part of it, or a group of parts.
struct TaskSummary {
  std::string name;
  std::string part = {};  ///< of a part
  bool is_group = false;
  int64_t items = 0;
  std::vector<TaskScore> scores;
  std::vector<std::string> members = {};  ///< of a group: the names of the rows right below it
};

/// What one item is worth. Of words, bytes and texts: its log-likelihood.
/// @param scores  of its requests, in order
double measure_item(Measure measure, const TaskQuestion& question,
                    const std::vector<RequestScore>& scores);
/// The same of a generated answer; 0 for Measure::kBleu, which single answers do not have.
double measure_text(Measure measure, const TaskQuestion& question, const std::string& answer);
/// What measure_filter() leaves of a generated answer.
std::string filtered_answer(Measure measure, const std::string& answer);
/// Either, as the task is.
double measure_answer(Measure measure, const Task& task, const TaskAnswers& answers, size_t item);

/// Mean and standard error over items; perplexity has the error of a bootstrap with CPython's generator, as
/// lm-evaluation-harness has it (bootstrap_iters).
/// @param items  values of measure_item
TaskScore aggregate(Measure measure, const std::vector<double>& items,
                    const std::vector<TaskQuestion>& questions, int64_t bootstrap_iterations);

/// The row of a part: "mmlu_anatomy"; of "" the task's own name.
std::string task_row_name(const Task& task, const std::string& part);
/// The rows of a task: the task itself, and where it has parts each of them and their groups first. Groups are weighted by
/// size.
std::vector<TaskSummary> summarize_task(const Task& task, const TaskAnswers& answers,
                                        int64_t bootstrap_iterations);

}  // namespace regroup
