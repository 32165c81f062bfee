#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace regroup {

/// A program that is started several times on this machine, as one group: each process learns its place from
/// RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR and MASTER_PORT.
struct ProcessesStart {
  std::string program;
  std::vector<std::string> arguments;  ///< without the program's name
  int count = 1;
  std::string out_path = {};           ///< where the first one's stdout goes; "": to ours
  std::chrono::seconds patience{600};  ///< how long the others may live on when one has failed
};

/// The process that failed first, of its own.
struct FailedProcess {
  int rank = 0;
  int pid = 0;
  int signal = 0;         ///< that ended it, or 0
  int exit_status = 0;    ///< without a signal
  std::string code = {};  ///< of its error, where it said one
};

/// Runs them until all have ended. A stop_signal() is sent on to each of them; they end when this process is killed.
/// @return nothing when all have ended with 0
/// @throws OutputError START when a process cannot be started
std::optional<FailedProcess> run_processes(const ProcessesStart& start);

/// Called by one of them that fails of its own, and not for want of another one.
void report_failure(const std::string& code);

/// "SIGKILL"
std::string signal_text(int number);

}  // namespace regroup
