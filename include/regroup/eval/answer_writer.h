#pragma once

#include <string>

#include "regroup/model/decoder.h"
#include "regroup/tasks/task.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// How many questions of a task lose tokens at the start of their context, to leave room for the answer.
/// @throws ConfigError TASK_TOO_LONG  the answer alone may be longer than the model's context
///         CheckpointError TASK_SCHEMA  a context has no token
int64_t count_cut_prompts(const Task& task, const Tokenizer& tokenizer, const ModelConfig& config);

/// Has the model go on greedily behind `context` until it says where it stops: its own end, question.until or
/// question.max_new_tokens. A context that leaves no room for the answer loses tokens at its start.
/// @return the text before the first of each stop
/// @throws as count_cut_prompts
std::string write_answer(const Decoder& model, const Tokenizer& tokenizer,
                         const std::string& context, const TaskQuestion& question);

}  // namespace regroup
