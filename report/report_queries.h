#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "regroup/report/report.h"
#include "report_document.h"

namespace regroup {

// What a report asks its data: which model is which, and how it was evaluated.

const ReportModel* find_baseline(const ReportData& data);
/// The role of a model in a report: an uptrained one with the baseline's KV heads is the control.
ModelRole role_in(const ReportData& data, const std::string& role, int64_t n_kv_heads);
ModelRole role_in(const ReportData& data, const ReportModel& model);
/// The converted model with as many KV heads, which eval's recovery refers to.
const ReportModel* find_converted(const ReportData& data, int64_t n_kv_heads);
/// For an uptrained model, or for a run: the model it was made of; nullptr unless that is certain.
const ReportModel* find_converted(const ReportData& data, const ReportModel& uptrained);
const ReportModel* find_converted(const ReportData& data, const ReportUptraining& run);
/// The run that made the uptrained `model`, nullptr unless that is certain.
const ReportUptraining* find_uptraining(const ReportData& data, const ReportModel& model);
/// What the evaluations were made on, in the order of the files.
std::vector<EvaluatedOn> evaluations(const ReportData& data);
const ReportScore* find_score(const ReportModel& model, const EvaluatedOn& on);
/// True when the converted model's loss differs from the baseline's by at most two standard errors.
/// Without a standard error nothing is known: false.
bool no_measurable_gap(const ReportScore& converted);

using Scored = std::vector<std::pair<const ReportModel*, const ReportScore*>>;
/// Who was evaluated on it, in the order of the report.
Scored scored_on(const ReportData& data, const EvaluatedOn& on);

}  // namespace regroup
