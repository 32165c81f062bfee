#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <functional>
#include <vector>

#include "regroup/base/error.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/model/processes.h"

namespace regroup::testing {

inline int free_test_port() {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  EXPECT_EQ(::bind(socket.get(), any, size), 0);
  EXPECT_EQ(::getsockname(socket.get(), any, &size), 0);
  return ntohs(address.sin_port);
}

/// Runs `work` in a process of its own, which then stays until this goes.
class Keeper {
 public:
  explicit Keeper(const std::function<void()>& work) : pid_(::fork()) {
    if (pid_ != 0) return;
    work();
    for (;;) ::pause();
  }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  ~Keeper() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

/// Runs `work` in `size` processes that have met. A test's checks may stand in it; the parent must not have
/// computed gradients before, whose threads a fork does not take along.
/// @param port  where somebody else keeps the meeting place, as torchrun's agent does; 0: the first process does
/// @return how each ended: 0, 1 after a failed check, an Error's exit status, or minus the signal that ended it
inline std::vector<int> run_ranks(int size, const std::function<void(Processes&)>& work,
                                  std::chrono::seconds timeout = std::chrono::seconds(60),
                                  int port = 0) {
  const bool at_agent = port != 0;
  if (!at_agent) port = free_test_port();
  std::vector<pid_t> children;
  for (int rank = 0; rank < size; ++rank) {
    const pid_t child = ::fork();
    if (child == 0) {
      int status = 0;
      try {
        const auto processes = join_processes({.rank = rank,
                                               .size = size,
                                               .address = "127.0.0.1",
                                               .port = port,
                                               .meets_at_agent = at_agent},
                                              timeout);
        try {
          work(*processes);
        } catch (const Error& error) {
          processes->leave(error);
          throw;
        }
        status = ::testing::Test::HasFailure() ? 1 : 0;
      } catch (const Error& error) {
        std::fprintf(stderr, "rank %d: [%s] %s\n", rank, error.info().code.c_str(), error.what());
        status = static_cast<int>(error.exit_code());
      }
      std::fflush(nullptr);
      ::_exit(status);
    }
    children.push_back(child);
  }
  std::vector<int> ends;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    ends.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  }
  return ends;
}

}  // namespace regroup::testing
