#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "regroup/model/decoder.h"
#include "regroup/tasks/task.h"
#include "regroup/tasks/token_request.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// How the questions of a task fit into a model's context.
struct PromptFit {
  int64_t cut = 0;  ///< lose tokens at the start of their context, to leave room for the answer
  std::vector<TooLongItem> too_long = {};  ///< the answer alone may fill the model's context
};
/// @throws CheckpointError TASK_SCHEMA  a context has no token
PromptFit fit_prompts(const Task& task, const Tokenizer& tokenizer, const ModelConfig& config);

/// Has the model go on greedily behind the context of each question until it says where it stops: its own end,
/// question.until or question.max_new_tokens. A context that leaves no room for the answer loses tokens at its start.
/// @param answers       [questions] the text before the first of each stop; those that are there stay
/// @param after_answer  called when another one is there; it may throw to end the work
/// @throws ConfigError TASK_TOO_LONG  no room is left for a context
void write_answers(const Decoder& model, const Tokenizer& tokenizer, const Task& task,
                   std::vector<std::optional<std::string>>& answers,
                   const std::function<void()>& after_answer = {});

}  // namespace regroup
