#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "regroup/tasks/task.h"

namespace regroup {

/// @throws ConfigError TASK_UNKNOWN with the nearest name
const TaskDefinition& known_task(const std::string& name);

/// The file of a split, or its shards in order: FOLDER/NAME/SPLIT.jsonl, or FOLDER/NAME.jsonl for what is asked; none where
/// there is none. @throws ConfigError TASK_DATA  a shard is missing
std::vector<std::string> find_split(const TaskDefinition& definition, const std::string& folder,
                                    std::string_view split);

/// The same of what is asked. @throws ConfigError TASK_DATA also where there is none
std::vector<std::string> require_split(const TaskDefinition& definition, const std::string& folder);

}  // namespace regroup
