#include "processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "regroup/base/child_processes.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/program_folder.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/strict_json.h"

namespace regroup {
namespace {

constexpr std::chrono::seconds kLastWords{30};  // to find out who is lost, and to say so

std::optional<FailedProcess> start(const Invocation& invocation,
                                   const std::vector<std::string>& arguments,
                                   const std::string& out) {
  return run_processes({.program = program_file(),
                        .arguments = arguments,
                        .count = invocation.processes,
                        .out_path = out,
                        .patience = invocation.process_timeout + kLastWords});
}

/// "rank 1 of 2 (pid 4711) was killed by SIGKILL"
std::string sentence(const FailedProcess& failed, int count) {
  const std::string who = fmt::format("rank {} of {} (pid {})", failed.rank, count, failed.pid);
  if (failed.signal != 0) {
    return fmt::format("{} was ended by {} before the others", who, signal_text(failed.signal));
  }
  const std::string why = failed.code.empty() ? "" : fmt::format(" [{}]", failed.code);
  return fmt::format("{} failed first, with exit status {}{}", who, failed.exit_status, why);
}

[[noreturn]] void throw_killed(const FailedProcess& failed, int count) {
  throw StoppedError({.code = "PROCESS_LOST",
                      .message = sentence(failed, count),
                      .hint = "run the same command again to go on from the newest checkpoint"});
}

}  // namespace

Launch launch_of(const Invocation& invocation) {
  if (invocation.command != "uptrain") return {};
  Launch launch = launch_of_environment();
  const int asked = invocation.processes;
  // c10d says in traces of its calls what becomes an error of ours.
  if (launch.size > 1) ::setenv("TORCH_CPP_LOG_LEVEL", "ERROR", /*overwrite=*/0);
  if (launch.size == 1 || asked == 1) return launch;
  if (asked == launch.size) {
    launch.by = "`processes`";
    return launch;
  }
  throw ConfigError(
      {.code = "LAUNCH",
       .message = fmt::format("`processes` must be left out where {} has started them, found {} "
                              "where it started {}",
                              launch.by, asked, launch.size),
       .hint = "leave `processes` out, or unset RANK and WORLD_SIZE"});
}

void keep_silent(Globals& globals) {
  globals.quiet = true;
  if (std::freopen("/dev/null", "w", stdout) == nullptr) globals.json = false;
}

CommandOutput run_in_processes(const Invocation& invocation,
                               const std::vector<std::string>& arguments) {
  const auto failed = start(invocation, arguments, "");
  CommandOutput output;
  output.printed = true;
  if (!failed) return output;
  if (failed->signal != 0) throw_killed(*failed, invocation.processes);
  output.exit_code = failed->exit_status;
  // Of a stop that all have agreed on the first process has said what there is to say.
  if (failed->code != "STOPPED") {
    std::fprintf(stderr, "error[PROCESS_LOST] %s\n",
                 sentence(*failed, invocation.processes).c_str());
  }
  return output;
}

CommandOutput stage_in_processes(const Invocation& invocation,
                                 const std::vector<std::string>& arguments,
                                 const std::string& out) {
  std::vector<std::string> line = arguments;
  if (std::find(line.begin(), line.end(), "--json") == line.end()) line.emplace_back("--json");
  const auto failed = start(invocation, line, out);
  if (failed && failed->signal != 0) throw_killed(*failed, invocation.processes);
  if (failed) {
    remove_tree(out);
    throw_if_stopped(/*resumable=*/true);
    throw Error(static_cast<ExitCode>(failed->exit_status),
                {.code = failed->code.empty() ? "PROCESS_LOST" : failed->code,
                 .message = sentence(*failed, invocation.processes),
                 .hint = "see above what it said"});
  }
  CommandOutput output;
  output.json = read_strict_json(out, kManifestJson);
  remove_tree(out);
  return output;
}

}  // namespace regroup
