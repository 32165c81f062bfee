#pragma once

#include <string>

#include "run_stages.h"

namespace regroup {

/// Makes report.html and report.md of a run whose stages are done. Cheap, hence always made anew.
void make_run_report(const RunStages& stages, const RunFlags& flags, const Globals& globals);

/// The last evaluation as a table for the terminal.
std::string run_summary(const RunStages& stages);

}  // namespace regroup
