#pragma once

#include <functional>
#include <string>

#include "regroup/base/file_descriptor.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// OUT, locked for this process, and what becomes of the run in it. A folder that was not there before is
/// removed again, unless the work in it gets under way; token files that were finished by then, more than 1 MiB of them,
/// stay for the next run.
class RunOutput {
 public:
  using Tell = std::function<void(const std::string&)>;

  /// Creates OUT, or takes over what an earlier run left there. Drops nothing yet.
  /// @param tell  hears where token files stay
  /// @throws ConfigError OUTPUT_EXISTS, PARTIAL_MISSING, LOCKED and those of check_output_place()
  RunOutput(const UptrainOptions& options, Tell tell);
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
  RunOutput(std::string out, Tell tell) : out_(std::move(out)), tell_(std::move(tell)) {}
  void drop_run(bool keep_data);
  void undo();

  std::string out_;
  Tell tell_;
  bool fresh_ = false;
  bool replaces_ = false;
  FileDescriptor lock_;
};

}  // namespace regroup
