#pragma once

#include "regroup/tasks/task.h"

namespace regroup {

/// Writes `task.requests`: descriptions, examples and questions put together as lm-evaluation-harness does.
/// @param pool            what examples are drawn from
/// @param pool_documents  the same as the file has them: the question itself is no example
/// @param chat            writes each as a conversation; empty: plain prompts
/// @throws CheckpointError TASK_SHOTS  the pool has too few
void write_requests(Task& task, const std::vector<TaskQuestion>& pool,
                    const std::vector<Json>& pool_documents, const TaskOptions& options,
                    const ChatWriter& chat);

}  // namespace regroup
