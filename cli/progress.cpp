#include "progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "regroup/base/human_number.h"
#include "terminal.h"

namespace regroup {
namespace {

using namespace std::chrono_literals;

constexpr auto kTerminalInterval = 100ms;
constexpr auto kPlainInterval = 5s;       // in the first minute
constexpr auto kLatePlainInterval = 20s;  // after it
constexpr auto kTerminalRepeat = 1s;      // where nothing is reported
constexpr auto kPlainRepeat = 25s;

size_t terminal_width() { return terminal_columns(STDERR_FILENO).value_or(80); }

std::string bar(double share) {
  constexpr int kCells = 24;
  const int full = std::clamp(static_cast<int>(share * kCells), 0, kCells);
  return std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kCells - full), '.');
}

double seconds_of(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

}  // namespace

double time_left(double done_s, double all_s, double elapsed_s) {
  const double prior = all_s / 20;
  if (!(prior > 0)) return 0;
  return std::max(0.0, all_s - done_s) * (elapsed_s + prior) / (done_s + prior);
}

ProgressLine::ProgressLine(std::string what, bool quiet)
    : what_(std::move(what)), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (repeater_.joinable()) {
    repeater_.request_stop();
    repeater_.join();
  }
  if (open_line_) std::fputc('\n', stderr);
}

void ProgressLine::bytes(int64_t done, int64_t total) {
  const double seconds = seconds_of(Clock::now() - start_);
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  report({.text = fmt::format("{} [{}] {:3.0f} %  {} of {}  {}/s", what_, bar(share), 100 * share,
                              human_bytes(done), human_bytes(total),
                              human_bytes(static_cast<int64_t>(rate))),
          .left_s = rate > 0 ? static_cast<double>(total - done) / rate : 0,
          .at = Clock::now()},
         done >= total);
}

void ProgressLine::work(double done_s, double all_s, const std::string& doing) {
  const auto now = Clock::now();
  if (work_start_ == Clock::time_point()) work_start_ = now;
  const double share = all_s > 0 ? std::min(1.0, done_s / all_s) : 1;
  const bool last = done_s >= all_s;
  report({.text = fmt::format("{} [{}] {:3.0f} %  {}", what_, bar(share), 100 * share, doing),
          .left_s = time_left(done_s, all_s, seconds_of(now - work_start_)),
          .at = now},
         last);
  if (!last) return;
  start_ = now;  // of what follows
  work_start_ = {};
}

void ProgressLine::share(double done, double passed_s, const std::string& doing) {
  const auto now = Clock::now();
  report({.text = fmt::format("{} [{}] {:3.0f} %  {}", what_, bar(done), 100 * done, doing),
          .left_s = done > 0 ? passed_s * (1 - done) / done : -1,
          .at = now},
         done >= 1);
  if (done >= 1) start_ = now;  // of what follows
}

void ProgressLine::text(const std::string& line, bool last) {
  report({.text = what_ + line, .left_s = -1, .at = Clock::now()}, last);
}

ProgressLine::Clock::duration ProgressLine::interval() const {
  if (terminal_) return kTerminalInterval;
  return Clock::now() - start_ < 1min ? Clock::duration(kPlainInterval) : kLatePlainInterval;
}

void ProgressLine::report(Line line, bool last) {
  if (quiet_) return;
  const std::lock_guard lock(mutex_);
  line_ = std::move(line);
  const bool first = shown_ == Clock::time_point();
  if (last || first || Clock::now() - shown_ >= interval()) show(last);
  if (!repeater_.joinable()) repeater_ = std::jthread([this](std::stop_token s) { repeat(s); });
}

void ProgressLine::show(bool last) {
  shown_ = Clock::now();
  std::string line = line_.text;
  if (line_.left_s >= 0) {
    const double left = std::max(0.0, line_.left_s - seconds_of(shown_ - line_.at));
    line += fmt::format("  {} left", human_seconds(left));
  }
  if (terminal_) {
    std::fprintf(stderr, "\r\x1b[K%s", line.substr(0, terminal_width() - 1).c_str());
    open_line_ = !last;
    if (last) std::fputc('\n', stderr);
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
    open_line_ = false;
  }
  std::fflush(stderr);
  if (last) line_ = {};
}

void ProgressLine::repeat(const std::stop_token& stop) {
  const Clock::duration every = terminal_ ? Clock::duration(kTerminalRepeat) : kPlainRepeat;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    wake_.wait_for(lock, stop, 1s, [] { return false; });
    const bool silent = Clock::now() - shown_ >= every;
    if (silent && !line_.text.empty() && !stop.stop_requested()) show(/*last=*/false);
  }
}

}  // namespace regroup
