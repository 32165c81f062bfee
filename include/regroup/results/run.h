#pragma once

#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/fields.h"

namespace regroup {

inline constexpr const char* kRunFormat = "regroup run/1";

/// A command that a run has begun.
struct RunStage {
  std::string name;   ///< "g4/convert"
  std::string state;  ///< "started" or "done"
  std::optional<double> seconds = {};
  std::vector<std::string> arguments = {};
  NamedTexts inputs = {};  ///< of earlier versions: digests
  std::string fingerprint = {};
};

/// What `run` keeps of what it has done.
struct RunRecord {
  std::string version;
  std::string recipe_path;
  std::string recipe_text;
  std::vector<RunStage> stages;
};

Json run_record_json(const RunRecord& run);
/// @throws CheckpointError RESULT_FORMAT for another tag; CFG_TYPE, CFG_RANGE for a value of the wrong type
RunRecord read_run_record(const Json& json, const std::string& path);

}  // namespace regroup
