#pragma once

#include <cstdint>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/eval/task_results.h"

namespace regroup {

/// Who is compared with whom, as indices into the models of a task.
struct TaskComparison {
  size_t model = 0;
  size_t baseline = 0;
  int64_t converted = -1;  ///< that an uptrained model started from; -1: unknown
};

/// {task: {measure: {"items", "delta", "delta_stderr", "ci95", "right_to_wrong", "wrong_to_right", "flips", "p", "p_holm",
/// "margin", "non_inferior", "items_needed", "recovery"}}}: differences on the same items. Perplexity is compared by the
/// log-likelihood of items, in nats; perplexities of words and bytes are not.
Json compare_tasks(const std::vector<EvaluatedTask>& tasks, const TaskComparison& comparison,
                   const TaskOptions& options);

}  // namespace regroup
