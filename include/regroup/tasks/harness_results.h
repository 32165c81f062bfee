#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "regroup/base/strict_json.h"

namespace regroup {

/// When, where and how an evaluation ran, as results_*.json say it.
struct HarnessRun {
  double started = 0;  ///< seconds since 1970
  double seconds = 0;  ///< it took
  std::string device;
  int64_t max_length = 0;          ///< of the model's context
  std::string chat_template = {};  ///< that questions were asked through; "": none
};

/// The time in the names of the harness's files: "2026-01-31T12-00-05.123456", local, without an underscore.
std::string harness_date(double seconds_since_1970);

/// The results of a model as lm-evaluation-harness 0.4.13 writes results_*.json, and "regroup", what it does not know.
/// @param model        one object of make_results()
/// @param task_hashes  of the rows that have samples
Json harness_results(const Json& model, const std::map<std::string, std::string>& task_hashes,
                     const HarnessRun& run);

}  // namespace regroup
