#pragma once

#include "regroup/report/report.h"
#include "report_document.h"

namespace regroup {

/// For each metric a dumbbell chart of the models' scores and a forest chart of their differences from the baseline; at most
/// kTaskChartRows tasks each, those that moved the most, and at most kTaskChartMetrics metrics, so that a page of hundreds of
/// tasks stays small. Nothing where no two models have a score in common.
void add_task_charts(const ReportData& data, Section& section);
inline constexpr size_t kTaskChartRows = 60;
inline constexpr size_t kTaskChartMetrics = 6;

}  // namespace regroup
