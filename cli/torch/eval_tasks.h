#pragma once

#include <functional>
#include <vector>

#include "eval_models.h"
#include "progress.h"
#include "regroup/eval/eval_state.h"
#include "regroup/eval/request_scorer.h"
#include "regroup/eval/task_results.h"

namespace regroup {

/// A task and its requests as each model's tokenizer writes them.
struct OpenedTask {
  EvaluatedTask evaluated;
  std::vector<std::shared_ptr<const EncodedTask>>
      encoded;                                          ///< [models], shared by equal tokenizers
  std::vector<std::vector<TooLongItem>> too_long = {};  ///< [models]
};

/// --batch-size of requests as tokens of the longest one.
RequestBatching batching_of(const EvalFlags& flags, const std::vector<TokenRequest>& requests);

/// Says on `line` how far requests are, and the time left.
/// @param n  requests in all
std::function<void(const RequestProgress&)> request_progress(ProgressLine& line, int64_t n);

/// @throws as open_task, open_tokenizer and encode_task
std::vector<OpenedTask> open_tasks(const EvalFlags& flags, EvalModels& models);

/// Asks every model every task, the baseline too.
void score_tasks(const EvalFlags& flags, EvalModels& models, EvalState& state,
                 std::vector<OpenedTask>& tasks, const Globals& globals);

}  // namespace regroup
