#pragma once

#include <string_view>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// metrics.jsonl: a last line that is not whole is left out.
void add_uptraining(std::string_view lines, const std::string& path, ReportData& data);

/// True if `text` is a metrics.jsonl, to judge by its first line.
bool is_metrics_log(std::string_view text);

/// Samples of lm-evaluation-harness, of eval --samples too: a last line that is not whole is left out.
void add_answers(std::string_view lines, const std::string& path, ReportData& data);

/// True if `text` is such a file, to judge by its first line.
bool is_answers_log(std::string_view text);

/// Gives the models of `data.answers` the names that results have for them.
void name_answering_models(ReportData& data);

/// The mean of every bucket of neighbouring points, at most `max` buckets of the same size.
std::vector<CurvePoint> thin_curve(const std::vector<CurvePoint>& points, size_t max);

}  // namespace regroup
