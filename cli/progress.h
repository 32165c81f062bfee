#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace regroup {

/// A progress line on stderr: rewritten in place on a terminal, a plain line now and then elsewhere. While
/// nothing is reported it is shown again by itself, with the time left that has passed taken off.
class ProgressLine {
 public:
  ProgressLine(std::string what, bool quiet);
  ~ProgressLine();
  /// Bytes done of all, with rate and time left.
  void bytes(int64_t done, int64_t total);
  /// Work done of all, both in seconds as forecast; how long it really takes corrects the forecast.
  void work(double done_s, double all_s, const std::string& doing);
  /// A share of the work, in [0, 1], that took so many seconds: the rest goes on at that rate.
  void share(double done, double passed_s, const std::string& doing);
  /// Free text, for work that has its own figures.
  void text(const std::string& line, bool last = false);

 private:
  using Clock = std::chrono::steady_clock;
  struct Line {
    std::string text;
    double left_s = -1;  ///< shown behind the text; < 0: not
    Clock::time_point at;
  };

  void report(Line line, bool last);
  void show(bool last);
  void repeat(const std::stop_token& stop);
  Clock::duration interval() const;

  std::string what_;
  bool quiet_;
  bool terminal_;
  bool open_line_ = false;
  Clock::time_point start_ = Clock::now();
  Clock::time_point work_start_;
  Clock::time_point shown_;
  Line line_;
  std::mutex mutex_;  // of all above, once the thread runs
  std::condition_variable_any wake_;
  std::jthread repeater_;
};

/// What is left of work forecast at `all_s` of which `done_s` took `elapsed_s`: the forecast counts like a
/// twentieth of the work, so that the first moments do not decide.
double time_left(double done_s, double all_s, double elapsed_s);

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
