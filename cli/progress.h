#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

namespace regroup {

/// A progress line on stderr: rewritten in place on a terminal, a plain line now and then elsewhere.
class ProgressLine {
 public:
  ProgressLine(std::string what, bool quiet);
  ~ProgressLine();
  /// Bytes done of all, with rate and time left.
  void bytes(int64_t done, int64_t total);
  /// Free text, for work that has its own figures.
  void text(const std::string& line, bool last = false);

 private:
  void show(const std::string& line, bool last);

  using Clock = std::chrono::steady_clock;
  std::string what_;
  bool quiet_;
  bool terminal_;
  bool open_line_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point shown_;
};

/// Seconds since construction, from the monotonic clock.
class Stopwatch {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace regroup
