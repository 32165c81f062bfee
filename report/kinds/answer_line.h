#pragma once

#include <map>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

/// A line of a samples file.
struct AnswerLine {
  std::string model;  ///< "": the harness names it by the folder alone
  std::string task;   ///< likewise by the file
  std::string filter;
  std::vector<std::string> metrics;
  std::map<std::string, double> worth;  ///< by metric; NaN: no number
  ReportAnswer answer;                  ///< without `worth`
};

/// @param where  names the line in errors
/// @throws CheckpointError CFG_TYPE naming the key
AnswerLine read_answer_line(const Json& json, const std::string& where);

}  // namespace regroup
