#pragma once

#include <string>

#include "regroup/report/report.h"

namespace regroup {

/// Adds the tasks and probes of a model, and how they compare with the baseline.
void add_questions(const ModelResult& model, const std::string& path, ReportData& data);

/// Adds scores of tasks under the name of their model.
/// @throws ConfigError REPORT_INPUT where no task has a score
void add_task_scores(const HarnessTasks& tasks, const std::string& path, ReportData& data);

}  // namespace regroup
