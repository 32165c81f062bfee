#pragma once

#include "regroup/tasks/task.h"
#include "task_record.h"

namespace regroup {

/// Whether a record has the neutral form (docs/tasks.md): prompts written out, whatever the task.
bool is_neutral(const Json& record);
/// What kind of question a neutral record is.
TaskKind neutral_kind(const TaskRecord& record);
TaskQuestion neutral_question(const TaskRecord& record);
/// A task of neutral records that no definition knows by name.
TaskDefinition neutral_definition(const TaskRecord& record);

}  // namespace regroup
