#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "regroup/base/file_descriptor.h"
#include "regroup/base/setting.h"
#include "regroup/base/strict_json.h"

namespace regroup {

enum class ResumeMode { kAuto, kRequired, kNever };
template <>
struct Words<ResumeMode> {
  static constexpr auto all = std::to_array<Word<ResumeMode>>({{"auto", ResumeMode::kAuto},
                                                               {"required", ResumeMode::kRequired},
                                                               {"never", ResumeMode::kNever}});
};

struct OutputOptions {
  bool overwrite = false;
  ResumeMode resume = ResumeMode::kAuto;
};

/// A folder that is either absent or complete, whatever happens while it is written.
///
/// Everything goes into OUT.partial: a lock, JOB.json (what is being done, so that only the same job
/// resumes), PROGRESS.json (files finished, with their digests) and the files themselves, each
/// written under a temporary name, synced and renamed. publish() makes OUT.partial OUT in one rename
/// that never replaces anything. After a kill at any byte the same command finds every finished file
/// again (its digest is checked) and goes on.
class OutputFolder {
 public:
  /// @param job  everything that decides the bytes of the output; equal jobs may resume each other
  /// @throws ConfigError  OUTPUT_EXISTS, LOCKED, CKPT_MISMATCH (names the fields), PARTIAL_MISSING
  OutputFolder(std::string out, const Json& job, OutputOptions options);
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;
  ~OutputFolder();

  /// The record of a file that an earlier run finished, if its bytes are still the ones recorded.
  std::optional<Json> finished(const std::string& name);
  /// The path to write `name` ("file" or "folder/file") to until commit() publishes it inside the folder.
  std::string staging_path(const std::string& name) const;
  /// Renames the staged file (already synced and closed) and notes `record`, which must hold its
  /// "sha256". From now on a resumed run finds it.
  void commit(const std::string& name, const Json& record);
  /// Publishes the folder. After it returns, OUT is complete and on the disk.
  /// @throws ConfigError OUTPUT_EXISTS; OUTPUT_FOREIGN, see require_replaceable()
  void publish();

  const std::string& partial() const { return partial_; }
  bool resumed() const { return resumed_; }

 private:
  void start_or_resume(const Json& job);

  std::string out_;
  std::string partial_;
  OutputOptions options_;
  FileDescriptor lock_;
  std::unique_ptr<Json> progress_;  // name of a finished file -> its record
  bool resumed_ = false;
};

}  // namespace regroup
