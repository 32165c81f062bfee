#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace regroup {

/// Exit codes of the command line; scripts rely on them.
enum class ExitCode : int {
  kSuccess = 0,
  kConfig = 2,         ///< flags, recipe, or a setting that must change
  kCheckpoint = 3,     ///< input or state missing, truncated, corrupt, inconsistent, non-finite
  kUnsupported = 4,    ///< well-formed, but nothing regroup can do exactly
  kOutput = 5,         ///< could not write
  kBug = 70,           ///< anything not listed here
  kStopped = 75,       ///< stopped safely, the same command resumes
  kInterrupted = 130,  ///< SIGINT before a safe point
  kTerminated = 143,   ///< SIGTERM before a safe point
};

/// What a user reads when something fails. `message` says what must hold and what was found;
/// `hint` is one imperative sentence.
struct ErrorInfo {
  std::string code;  ///< stable, for scripts: "ST_SIZE_MISMATCH"
  std::string message;
  std::string path = {};    ///< file or folder at fault
  std::string tensor = {};  ///< tensor at fault
  std::string hint = {};
};

/// Base of every failure a user can fix. Thrown by library code, caught once, in main.
class Error : public std::runtime_error {
 public:
  Error(ExitCode exit_code, ErrorInfo info);
  ExitCode exit_code() const { return exit_code_; }
  const ErrorInfo& info() const { return info_; }

 private:
  ExitCode exit_code_;
  ErrorInfo info_;
};

struct ConfigError : Error {
  explicit ConfigError(ErrorInfo info) : Error(ExitCode::kConfig, std::move(info)) {}
};
struct CheckpointError : Error {
  explicit CheckpointError(ErrorInfo info) : Error(ExitCode::kCheckpoint, std::move(info)) {}
};
struct UnsupportedError : Error {
  explicit UnsupportedError(ErrorInfo info) : Error(ExitCode::kUnsupported, std::move(info)) {}
};
struct OutputError : Error {
  explicit OutputError(ErrorInfo info) : Error(ExitCode::kOutput, std::move(info)) {}
};
/// A signal was handled at a safe point: everything done so far is on disk.
struct StoppedError : Error {
  explicit StoppedError(ErrorInfo info) : Error(ExitCode::kStopped, std::move(info)) {}
};

/// Throws one CheckpointError that carries every problem of a folder, one per line.
/// Does nothing when `problems` is empty. Unsupported things are reported by the caller.
void throw_all(const std::string& folder, const std::vector<ErrorInfo>& problems);

}  // namespace regroup
