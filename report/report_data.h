#pragma once

#include <string_view>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// Each adds what one file holds to `data`. `path` names the file in errors.
void add_eval_results(const Json& json, const std::string& path, ReportData& data);
/// Results of lm-evaluation-harness. @throws ConfigError REPORT_INPUT where there is no score in them
void add_task_results(const Json& json, const std::string& path, ReportData& data);
bool is_task_results(const Json& json);
Json task_score_json(const ReportTaskScore& score);
std::string task_scores_csv(const ReportData& data);
void add_damage(const Json& json, const std::string& path, ReportData& data);
void add_plan(const Json& json, const std::string& path, ReportData& data);
void add_samples(const Json& json, const std::string& path, ReportData& data);
void add_run(const Json& json, const std::string& path, ReportData& data);
void add_conversion(const Json& json, const std::string& path, ReportData& data);
void add_manifest(const Json& json, const std::string& path, ReportData& data);
/// metrics.jsonl: a last line that is not whole is left out.
void add_uptraining(std::string_view lines, const std::string& path, ReportData& data);

/// True if `text` is a metrics.jsonl, to judge by its first line.
bool is_metrics_log(std::string_view text);

/// The mean of every bucket of neighbouring points, at most `max` buckets of the same size.
std::vector<CurvePoint> thin_curve(const std::vector<CurvePoint>& points, size_t max);

}  // namespace regroup
