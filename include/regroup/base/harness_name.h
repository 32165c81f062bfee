#pragma once

#include <string>

namespace regroup {

/// A model's path or a task's name as lm-evaluation-harness puts it into the name of a file or folder: it holds no / and is
/// neither "." nor "..", whatever stands in `name`.
std::string harness_file_name(const std::string& name);

}  // namespace regroup
