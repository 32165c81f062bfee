#pragma once

#include <cstdint>
#include <vector>

#include "regroup/eval/task_results.h"
#include "regroup/results/evaluation.h"

namespace regroup {

/// Who is compared with whom, as indices into the models of a task.
struct TaskComparison {
  size_t model = 0;
  size_t baseline = 0;
  int64_t converted = -1;  ///< that an uptrained model started from; -1: unknown
};

/// Differences on the same items. Perplexity is compared by the log-likelihood of items, in nats; perplexities of words and
/// bytes are not.
std::vector<TaskDifference> compare_tasks(const std::vector<EvaluatedTask>& tasks,
                                          const TaskComparison& comparison,
                                          const TaskOptions& options);

}  // namespace regroup
