#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "regroup/results/evaluation.h"
#include "regroup/tasks/task_scores.h"

namespace regroup {

/// A task with what every model said, in the models' order.
struct EvaluatedTask {
  Task task;
  std::vector<TaskAnswers> answers = {};  ///< [models]
  std::vector<int64_t> truncated = {};    ///< [models] requests cut to the context
  std::vector<int64_t> batch_tokens =
      {};  ///< [models] fed at once, about; empty where texts are written
};

/// Adds the rows of all tasks to the results of model `m`.
void add_task_results(ModelResult& model, size_t m, const std::vector<EvaluatedTask>& tasks,
                      const TaskOptions& options);

/// The lines of lm-evaluation-harness's samples_*.jsonl, with "task" and "model", one after the other.
void write_task_samples(const EvaluatedTask& task, size_t m, const std::string& model,
                        const std::function<void(std::string_view)>& write);

}  // namespace regroup
