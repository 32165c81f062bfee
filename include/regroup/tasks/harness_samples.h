#pragma once

#include <functional>
#include <string>

#include "regroup/base/digest.h"
#include "regroup/tasks/task_scores.h"

namespace regroup {

/// Calls `add` with every line that lm-evaluation-harness's samples_*.jsonl of a task has, part after part and filter after
/// filter, and with the name of its row in the results: a part has a file of its own, which counts from 0.
void visit_harness_samples(const Task& task, const TaskAnswers& answers,
                           const std::function<void(const std::string& row, Json line)>& add);

/// lm-evaluation-harness's task_hashes: of the documents, prompts and targets of all lines.
class HarnessTaskHash {
 public:
  void add(const Json& line);
  std::string hex() { return hash_.hex(); }  ///< once, at the end

 private:
  Sha256 hash_;
};

/// As Python's json writes it with ensure_ascii=False, but for white space; with `indent` to the byte.
std::string harness_json(const Json& json, int indent = -1);

}  // namespace regroup
