#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "regroup/model/decoder.h"
#include "regroup/tasks/task.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// How many questions of a task lose tokens at the start of their context, to leave room for the answer.
/// @throws ConfigError TASK_TOO_LONG  the answer alone may be longer than the model's context
///         CheckpointError TASK_SCHEMA  a context has no token
int64_t count_cut_prompts(const Task& task, const Tokenizer& tokenizer, const ModelConfig& config);

/// Has the model go on greedily behind the context of each question until it says where it stops: its own end,
/// question.until or question.max_new_tokens. A context that leaves no room for the answer loses tokens at its start.
/// @param answers       [questions] the text before the first of each stop; those that are there stay
/// @param after_answer  called when another one is there; it may throw to end the work
/// @throws as count_cut_prompts
void write_answers(const Decoder& model, const Tokenizer& tokenizer, const Task& task,
                   std::vector<std::optional<std::string>>& answers,
                   const std::function<void()>& after_answer = {});

}  // namespace regroup
