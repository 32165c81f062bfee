#include "regroup/checkpoint/stop_signal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "regroup/checkpoint/error.h"

namespace regroup {
namespace {

std::atomic<int> g_signal{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler touches it");

extern "C" void on_stop_signal(int number) {
  if (g_signal.exchange(number) != 0) std::_Exit(128 + number);
  const int before = errno;
  constexpr std::string_view kNote =
      "\nstopping once the work at hand is done; a second signal ends it at once\n";
  [[maybe_unused]] const auto told = ::write(STDERR_FILENO, kNote.data(), kNote.size());
  errno = before;
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action = {};
  action.sa_handler = on_stop_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

int stop_signal() { return g_signal.load(); }
void set_stop_signal(int signal_number) { g_signal.store(signal_number); }

void throw_if_stopped(bool resumable) {
  const int number = stop_signal();
  if (number == 0) return;
  const char* name = number == SIGINT ? "SIGINT" : "SIGTERM";
  if (resumable) {
    throw StoppedError(
        {.code = "STOPPED",
         .message = fmt::format("stopped by {}; everything finished so far is kept", name),
         .path = {},
         .tensor = {},
         .hint = "run the same command again to go on from here"});
  }
  throw Error(number == SIGINT ? ExitCode::kInterrupted : ExitCode::kTerminated,
              {.code = "INTERRUPTED",
               .message = fmt::format("stopped by {} before anything was finished", name)});
}

}  // namespace regroup
