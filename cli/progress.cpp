#include "progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr auto kTerminalInterval = std::chrono::milliseconds(100);
constexpr auto kPlainInterval = std::chrono::seconds(5);

size_t terminal_width() {
  struct winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string bar(double share) {
  constexpr int kCells = 24;
  const int full = std::clamp(static_cast<int>(share * kCells), 0, kCells);
  return std::string(static_cast<size_t>(full), '#') +
         std::string(static_cast<size_t>(kCells - full), '.');
}

}  // namespace

ProgressLine::ProgressLine(std::string what, bool quiet)
    : what_(std::move(what)), quiet_(quiet), terminal_(::isatty(STDERR_FILENO) == 1) {}

ProgressLine::~ProgressLine() {
  if (open_line_) std::fputc('\n', stderr);
}

void ProgressLine::bytes(int64_t done, int64_t total) {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  const double share = total > 0 ? static_cast<double>(done) / static_cast<double>(total) : 1;
  const double left = rate > 0 ? static_cast<double>(total - done) / rate : 0;
  show(fmt::format("{} [{}] {:3.0f} %  {} of {}  {}/s  {} left", what_, bar(share), 100 * share,
                   human_bytes(done), human_bytes(total), human_bytes(static_cast<int64_t>(rate)),
                   human_seconds(left)),
       done >= total);
}

void ProgressLine::text(const std::string& line, bool last) { show(what_ + line, last); }

void ProgressLine::show(const std::string& line, bool last) {
  if (quiet_) return;
  const auto now = Clock::now();
  const bool first = shown_ == Clock::time_point();
  const auto interval =
      terminal_ ? Clock::duration(kTerminalInterval) : Clock::duration(kPlainInterval);
  if (!last && !first && now - shown_ < interval) return;
  shown_ = now;
  if (terminal_) {
    std::fprintf(stderr, "\r\x1b[K%s", line.substr(0, terminal_width() - 1).c_str());
    open_line_ = !last;
    if (last) std::fputc('\n', stderr);
  } else {
    std::fprintf(stderr, "%s\n", line.c_str());
  }
  std::fflush(stderr);
}

}  // namespace regroup
