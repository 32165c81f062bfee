#pragma once

#include <string>
#include <vector>

#include "regroup/report/report.h"
#include "report_document.h"

namespace regroup {

/// Models whose scores of a task stand in one row of a chart.
struct TaskChain {
  std::string label;  ///< "4 KV heads", or a folder; empty where there is one chain
  struct Member {
    std::string name;
    size_t series;
  };
  std::vector<Member> members;  ///< at least two
};

/// Of a chart of tasks: baseline, converted, uptrained, models without a role, and the control.
const std::vector<IntervalSeries>& role_series();
size_t role_series_of(ModelRole role);

/// For every converted model the baseline, itself, and what uptraining made of it.
std::vector<TaskChain> task_chains(const ReportData& data);
/// Models that no file gives a role, told apart by their names, and a series for each; at most four.
TaskChain chain_of_names(const ReportData& data, std::vector<IntervalSeries>& series);

}  // namespace regroup
