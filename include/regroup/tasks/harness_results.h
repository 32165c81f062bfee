#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "regroup/base/strict_json.h"

namespace regroup {

/// When and where an evaluation ran: results_*.json say it.
struct HarnessRun {
  double started = 0;  ///< seconds since 1970
  double seconds = 0;  ///< it took
  std::string device;
};

/// The time in the names of the harness's files: "2026-01-31T12-00-05.123456", local, without an underscore.
std::string harness_date(double seconds_since_1970);

/// The results of a model as lm-evaluation-harness 0.4.13 writes results_*.json, and "regroup", what it does not know.
/// @param model        one object of make_results()
/// @param task_hashes  of the rows that have samples
/// @param max_length   of the model's context
Json harness_results(const Json& model, const std::map<std::string, std::string>& task_hashes,
                     int64_t max_length, const HarnessRun& run);

}  // namespace regroup
