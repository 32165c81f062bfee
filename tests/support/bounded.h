#pragma once

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include "regroup/base/error.h"
#include "regroup/base/host_memory.h"

namespace regroup::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kMeasured = false;  // red zones and shadow memory are not the reader's doing
#else
inline constexpr bool kMeasured = true;
#endif

/// What `action` ends with: "OK", the code of an Error, or what else was thrown.
template <typename Action>
std::string verdict_of(const Action& action) {
  try {
    action();
    return "OK";
  } catch (const Error& error) {
    return error.info().code;
  } catch (const std::exception& error) {
    return std::string("no Error: ") + error.what();
  }
}

/// Runs `action` in a process of its own, because the highest mark of a process never falls: it must
/// end with `code` and without a signal, within so many seconds of a processor, and its memory must
/// rise by at most `bytes`.
template <typename Action>
void expect_bounded(const std::string& code, int64_t bytes, unsigned seconds,
                    const Action& action) {
  constexpr unsigned kSlower = 20;  // under a sanitizer
  int ends[2] = {-1, -1};
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const rlim_t limit = kMeasured ? seconds : seconds * kSlower;
    const rlimit processor{.rlim_cur = limit, .rlim_max = limit};
    ::setrlimit(RLIMIT_CPU, &processor);
    const int64_t before = peak_rss_bytes();
    std::string told = verdict_of(action).substr(0, 200);
    const int64_t used = peak_rss_bytes() - before;
    if (kMeasured && used > bytes) told += " with " + std::to_string(used) + " bytes";
    const ssize_t written = ::write(ends[1], told.data(), told.size());
    ::_exit(written < 0 ? 1 : 0);
  }
  ::close(ends[1]);
  std::string told(512, '\0');
  const ssize_t got = ::read(ends[0], told.data(), told.size());
  told.resize(got > 0 ? static_cast<size_t>(got) : 0);
  ::close(ends[0]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFSIGNALED(status))
      << "signal " << WTERMSIG(status) << " (24 and 9: it took too long)";
  EXPECT_EQ(told, code);
}

}  // namespace regroup::testing
