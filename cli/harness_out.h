#pragma once

#include <string>
#include <vector>

#include "progress.h"
#include "regroup/tasks/harness_results.h"
#include "regroup/tasks/task_scores.h"

namespace regroup {

/// What a model said to a task.
struct AnsweredTask {
  const Task& task;
  const TaskAnswers& answers;
};

/// The files of lm-evaluation-harness that eval writes: FOLDER/MODEL/results_DATE.json and samples_TASK_DATE.jsonl. DATE is
/// when the evaluation began.
class HarnessOut {
 public:
  /// Checks that the folders can be made and written to, before any work is done.
  /// @param models  paths, whose names must differ as the harness writes them
  /// @param inputs  folders that must not receive files
  /// @throws ConfigError OUTPUT_NOT_FOLDER, OUTPUT_PARENT, OUTPUT_IS_INPUT, OUTPUT_NAME; OutputError
  HarnessOut(std::string folder, const std::vector<std::string>& models,
             const std::vector<std::string>& inputs);
  /// The same of the tasks' rows, each of which has a file. @throws ConfigError OUTPUT_NAME
  void check_tasks(const std::vector<const Task*>& tasks) const;
  /// @param model  one object of make_results()
  /// @param run    without its times
  /// @throws OutputError
  void write(const Json& model, const std::vector<AnsweredTask>& tasks, HarnessRun run) const;

 private:
  std::string place_of(const std::string& model) const;
  std::string samples_name(const std::string& row) const;

  std::string folder_;
  double started_;
  std::string date_;
  Stopwatch watch_;
};

}  // namespace regroup
