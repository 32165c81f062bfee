#pragma once

#include <string>
#include <vector>

#include "run_stages.h"

namespace regroup {

/// Makes report.html and report.md of a run whose stages are done. Cheap, hence always made anew.
void make_run_report(const RunStages& stages, const RunFlags& flags, const Globals& globals);
/// The same of what is there: no model is asked for samples. @param more  result files beside those of the stages
void write_run_report(const RunStages& stages, const std::vector<std::string>& more = {});

/// The last evaluation as a table for the terminal.
std::string run_summary(const RunStages& stages);

}  // namespace regroup
