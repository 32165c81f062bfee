#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "regroup/tasks/task.h"

namespace regroup {

/// Where each question stands in its part, those counted that were left out: lm-evaluation-harness's doc_id.
std::vector<int64_t> document_ids(const Task& task);  // [n]

/// Takes questions out of a task with their requests, and notes their doc_id. Examples before the others stay as they are.
/// @param items  indices into task.questions
void leave_out(Task& task, const std::set<size_t>& items);

}  // namespace regroup
