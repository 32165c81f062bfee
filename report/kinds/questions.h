#pragma once

#include <string>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// Whether a result of eval was measured on a text; every other is a task's or a probe's.
bool is_text_result(const std::string& name, const Json& result, const Json& model);

/// Adds the tasks and probes of a model's results, and how they compare with the baseline.
/// @throws CheckpointError CFG_TYPE
void add_questions(const Json& model, const std::string& path, ReportData& data);

}  // namespace regroup
