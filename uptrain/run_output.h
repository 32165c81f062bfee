#pragma once

#include <string>

#include "regroup/base/file_descriptor.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// OUT, locked for this process, and what becomes of the run in it. A folder that was not there before is
/// removed again, unless the work in it gets under way.
class RunOutput {
 public:
  /// Creates OUT, or takes over what an earlier run left there. Drops nothing yet.
  /// @throws ConfigError OUTPUT_EXISTS, PARTIAL_MISSING, LOCKED and those of check_output_place()
  explicit RunOutput(const UptrainOptions& options);
  RunOutput(const RunOutput&) = delete;
  RunOutput& operator=(const RunOutput&) = delete;
  ~RunOutput();

  /// The run in OUT is dropped once the new one has passed every check.
  bool replaces() const { return replaces_; }
  /// Where texts are tokenized into: beside the data of a run that is replaced, until that is dropped.
  std::string data_folder() const;
  /// Removes the run in OUT where it is replaced; the new one's data takes its place.
  void drop_replaced();
  /// Removes an interrupted run, but keeps its tokenized data.
  void drop_interrupted();
  /// The work is under way: OUT stays, and `recipe` says what is done in it. @return the lock
  FileDescriptor keep(const std::string& recipe);

 private:
  explicit RunOutput(std::string out) : out_(std::move(out)) {}
  void drop_run(bool keep_data);

  std::string out_;
  bool fresh_ = false;
  bool replaces_ = false;
  FileDescriptor lock_;
};

}  // namespace regroup
