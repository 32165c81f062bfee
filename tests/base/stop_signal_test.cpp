// Which signals ask for a stop, and with which exit code it ends.
#include "regroup/base/stop_signal.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "regroup/base/error.h"

namespace regroup::testing {
namespace {

constexpr int kNotStopped = 7;

int exit_code_of(bool resumable) {
  try {
    throw_if_stopped(resumable);
  } catch (const Error& error) {
    return static_cast<int>(error.exit_code());
  }
  return kNotStopped;
}

/// In a process of its own: some signals are ignored, handlers installed, others raised, a stop looked for.
/// @return the exit code, 1000 + the signal where one ended the process
int raise_in_child(const std::vector<int>& ignored, const std::vector<int>& raised,
                   bool resumable) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    for (const int number : ignored) ::signal(number, SIG_IGN);
    install_stop_handlers();
    for (const int number : raised) ::raise(number);
    ::_exit(exit_code_of(resumable));
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

TEST(StopSignals, EndWithTheirExitCode) {
  const std::pair<int, int> signals[] = {{SIGINT, 130},  {SIGTERM, 143}, {SIGHUP, 129},
                                         {SIGUSR1, 138}, {SIGUSR2, 140}, {SIGXCPU, 152}};
  for (const auto& [number, code] : signals) {
    EXPECT_EQ(raise_in_child({}, {number}, false), code);
    EXPECT_EQ(raise_in_child({}, {number}, true), 75) << number;
  }
  EXPECT_EQ(raise_in_child({}, {}, false), kNotStopped);
  EXPECT_EQ(raise_in_child({}, {SIGQUIT}, false), 1000 + SIGQUIT) << "asks for an end at once";
}

TEST(StopSignals, ThatWereIgnoredStayIgnored) {
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    EXPECT_EQ(raise_in_child({number}, {number}, false), kNotStopped) << number;
  }
  // A shell ignores SIGINT for whatever it starts in the background; kill -INT means it all the same.
  EXPECT_EQ(raise_in_child({SIGINT}, {SIGINT}, false), 130);
}

TEST(StopSignals, ASecondRequestOfAPersonEndsAtOnce) {
  EXPECT_EQ(raise_in_child({}, {SIGINT, SIGINT}, true), 130);
  EXPECT_EQ(raise_in_child({}, {SIGTERM, SIGINT}, true), 130);
  EXPECT_EQ(raise_in_child({}, {SIGINT, SIGTERM}, true), 143);
}

TEST(StopSignals, WhatSchedulersAndTerminalsRepeatWaits) {
  EXPECT_EQ(raise_in_child({}, {SIGHUP, SIGHUP}, true), 75);
  EXPECT_EQ(raise_in_child({}, {SIGXCPU, SIGXCPU, SIGXCPU}, true), 75);
  EXPECT_EQ(raise_in_child({}, {SIGUSR1, SIGTERM}, true), 75) << "a warning, then the request";
  EXPECT_EQ(raise_in_child({}, {SIGHUP, SIGTERM}, false), 129) << "the first one names it";
}

}  // namespace
}  // namespace regroup::testing
