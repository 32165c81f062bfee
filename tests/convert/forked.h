#pragma once

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>

#include "regroup/base/error.h"

namespace regroup::testing {

/// How a child ended.
struct Ended {
  int exit_code = -1;  ///< -1: by a signal
  int signal = 0;
};

/// Runs `body` in a forked child, which exits with 0 or with the error's exit code. The parent must
/// not have used LibTorch's threads before.
template <typename Body>
pid_t fork_child(const Body& body) {
  const pid_t child = ::fork();
  if (child != 0) return child;
  int code = 0;
  try {
    body();
  } catch (const Error& error) {
    code = static_cast<int>(error.exit_code());
  } catch (const std::exception&) {
    code = static_cast<int>(ExitCode::kBug);
  }
  ::_exit(code);
}

inline Ended wait_for(pid_t child) {
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) return {.signal = WTERMSIG(status)};
  return {.exit_code = WEXITSTATUS(status)};
}

template <typename Body>
Ended run_forked(const Body& body) {
  return wait_for(fork_child(body));
}

}  // namespace regroup::testing
