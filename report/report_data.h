#pragma once

#include "regroup/report/report.h"

namespace regroup {

/// Gives the models of `data.answers` the names that results have for them.
void name_answering_models(ReportData& data);

/// The mean of every bucket of neighbouring points, at most `max` buckets of the same size.
std::vector<CurvePoint> thin_curve(const std::vector<CurvePoint>& points, size_t max);

}  // namespace regroup
