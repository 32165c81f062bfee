#include "regroup/base/stop_signal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <string_view>

#include "regroup/base/error.h"

namespace regroup {
namespace {

struct StopSignal {
  int number;
  const char* name;
  bool from_person;  ///< a second one ends the process at once
};

/// SIGQUIT is not among them: it asks for an end at once.
constexpr auto kStopSignals = std::to_array<StopSignal>({
    {SIGINT, "SIGINT", true},
    {SIGTERM, "SIGTERM", true},
    {SIGHUP, "SIGHUP", false},    // the terminal is gone; comes twice where a shell forwards it
    {SIGUSR1, "SIGUSR1", false},  // what schedulers send some time before the end
    {SIGUSR2, "SIGUSR2", false},
    {SIGXCPU, "SIGXCPU", false},  // comes every second once the limit is reached
});

std::atomic<int> g_signal{0};
std::atomic<bool> g_person_asked{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "a signal handler touches them");

void say(std::string_view text) {
  const int before = errno;
  [[maybe_unused]] const auto told = ::write(STDERR_FILENO, text.data(), text.size());
  errno = before;
}

void ask_for_stop(int number) {
  int none = 0;
  if (g_signal.compare_exchange_strong(none, number)) {
    say("\nstopping once the work at hand is done; a second SIGINT (Ctrl-C) or SIGTERM ends it at "
        "once\n");
  }
}

extern "C" void on_request(int number) { ask_for_stop(number); }

extern "C" void on_request_of_person(int number) {
  if (g_person_asked.exchange(true)) std::_Exit(128 + number);
  ask_for_stop(number);
}

const char* signal_name(int number) {
  for (const StopSignal& one : kStopSignals) {
    if (one.number == number) return one.name;
  }
  return "a signal";
}

}  // namespace

void install_stop_handlers() {
  for (const StopSignal& one : kStopSignals) {
    struct sigaction before = {};
    sigaction(one.number, nullptr, &before);
    // nohup and some schedulers ask to ignore them; a shell ignores SIGINT for whatever it starts with &.
    if (!one.from_person && before.sa_handler == SIG_IGN) continue;
    struct sigaction action = {};
    action.sa_handler = one.from_person ? on_request_of_person : on_request;
    sigemptyset(&action.sa_mask);
    sigaction(one.number, &action, nullptr);
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

int stop_signal() { return g_signal.load(); }
void set_stop_signal(int signal_number) { g_signal.store(signal_number); }
void take_over_stop_signal(int signal_number) {
  if (signal_number == 0) return;
  set_stop_signal(signal_number);
  g_person_asked.store(signal_number == SIGINT || signal_number == SIGTERM);
}

void throw_if_stopped(bool resumable) {
  const int number = stop_signal();
  if (number == 0) return;
  const char* name = signal_name(number);
  if (resumable) {
    throw StoppedError(
        {.code = "STOPPED",
         .message = fmt::format("stopped by {}; everything finished so far is kept", name),
         .hint = "run the same command again to go on from here"});
  }
  throw Error(static_cast<ExitCode>(128 + number),
              {.code = "INTERRUPTED",
               .message = fmt::format("stopped by {} before anything was finished", name)});
}

}  // namespace regroup
