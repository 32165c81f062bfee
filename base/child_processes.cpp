#include "regroup/base/child_processes.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <system_error>
#include <thread>

#include "regroup/base/error.h"
#include "regroup/base/file_descriptor.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr const char* kFailures = "REGROUP_FAILURES_FD";  // where a process says that it fails

[[noreturn]] void refuse(const std::string& what) {
  const std::string reason = std::system_category().message(errno);
  throw OutputError({.code = "START",
                     .message = fmt::format("could not {}: {}", what, reason),
                     .hint = "use fewer `processes`, or start them with torchrun --no-python"});
}

/// A port of this machine that is free. It could be taken before the first process listens there, which then says so.
int free_port() {
  const FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* any = reinterpret_cast<sockaddr*>(&address);
  if (socket.get() < 0 || ::bind(socket.get(), any, size) != 0 ||
      ::getsockname(socket.get(), any, &size) != 0) {
    refuse("find a free port");
  }
  return ntohs(address.sin_port);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (const std::string& text : texts) all.push_back(const_cast<char*>(text.c_str()));
  all.push_back(nullptr);
  return all;
}

/// This process's environment, without what another launcher has said, and with `more`.
std::vector<std::string> environment_with(const std::vector<std::string>& more) {
  constexpr auto kDropped =
      std::to_array<std::string_view>({"RANK=", "WORLD_SIZE=", "LOCAL_RANK=", "LOCAL_WORLD_SIZE=",
                                       "MASTER_ADDR=", "MASTER_PORT=", "TORCHELASTIC_"});
  std::vector<std::string> all = more;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const bool dropped = std::any_of(kDropped.begin(), kDropped.end(),
                                     [&](std::string_view name) { return text.starts_with(name); });
    if (!dropped) all.emplace_back(text);
  }
  return all;
}

/// What a child does between fork and exec: system calls alone.
[[noreturn]] void become(const char* program, char** arguments, char** environment, int out,
                         pid_t parent) {
  ::setpgid(0, 0);  // Ctrl-C reaches the parent alone, which sends it on once
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(128 + SIGTERM);
  if (out >= 0) ::dup2(out, STDOUT_FILENO);
  ::execve(program, arguments, environment);
  ::_exit(127);
}

class Children {
 public:
  explicit Children(const ProcessesStart& start) : start_(start) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) refuse("make a pipe");
    reads_ = FileDescriptor(ends[0]);
    writes_ = FileDescriptor(ends[1]);
    ::fcntl(writes_.get(), F_SETFD, 0);  // the children write to it
    port_ = free_port();
    pids_.assign(static_cast<size_t>(start.count), 0);
    try {
      for (int rank = 0; rank < start.count; ++rank) begin(rank);
    } catch (...) {
      send(SIGKILL);
      while (is_running()) reap();
      throw;
    }
    writes_ = FileDescriptor();
  }

  std::optional<FailedProcess> wait() {
    int sent = 0;
    while (is_running()) {
      if (!reap()) std::this_thread::sleep_for(20ms);
      if (sent == 0 && stop_signal() != 0) send(sent = stop_signal());
      if (!failed_.empty() && Clock::now() > first_failed_ + start_.patience) send(SIGKILL);
    }
    return first_failed();
  }

 private:
  void begin(int rank) {
    const std::string n = std::to_string(start_.count);
    const std::string r = std::to_string(rank);
    const std::vector<std::string> environment = environment_with(
        {"RANK=" + r, "LOCAL_RANK=" + r, "WORLD_SIZE=" + n, "LOCAL_WORLD_SIZE=" + n,
         "MASTER_ADDR=127.0.0.1", fmt::format("MASTER_PORT={}", port_),
         fmt::format("{}={}", kFailures, writes_.get())});
    std::vector<std::string> line = {start_.program};
    line.insert(line.end(), start_.arguments.begin(), start_.arguments.end());
    FileDescriptor out;
    if (rank == 0 && !start_.out_path.empty()) {
      const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
      out = FileDescriptor(::open(start_.out_path.c_str(), flags, 0644));
      if (out.get() < 0) refuse("open " + start_.out_path);
    }
    const std::vector<char*> argv = pointers(line);
    const std::vector<char*> envp = pointers(environment);
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) refuse(fmt::format("start process {} of {}", rank, start_.count));
    if (pid == 0) {
      become(start_.program.c_str(), const_cast<char**>(argv.data()),
             const_cast<char**>(envp.data()), out.get(), parent);
    }
    pids_[static_cast<size_t>(rank)] = pid;
  }

  bool is_running() const {
    return std::any_of(pids_.begin(), pids_.end(), [](pid_t pid) { return pid > 0; });
  }
  void send(int signal) const {
    for (const pid_t pid : pids_) {
      if (pid > 0) ::kill(pid, signal);
    }
  }
  /// @return whether one has ended
  bool reap() {
    bool any = false;
    for (size_t rank = 0; rank < pids_.size(); ++rank) {
      int status = 0;
      if (pids_[rank] <= 0 || ::waitpid(pids_[rank], &status, WNOHANG) == 0) continue;
      any = true;
      note_end(static_cast<int>(rank), pids_[rank], status);
      pids_[rank] = 0;
    }
    return any;
  }
  void note_end(int rank, pid_t pid, int status) {
    FailedProcess end{.rank = rank, .pid = pid};
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    if (WIFEXITED(status)) end.exit_status = WEXITSTATUS(status);
    if (end.signal == 0 && end.exit_status == 0) return;
    if (failed_.empty()) first_failed_ = Clock::now();
    failed_.push_back(end);
  }

  /// Who said first that it fails; or was killed; or ended first.
  std::optional<FailedProcess> first_failed() const {
    if (failed_.empty()) return std::nullopt;
    std::array<char, 256> text{};
    const ssize_t length = ::read(reads_.get(), text.data(), text.size());
    const std::string_view said(text.data(), length > 0 ? static_cast<size_t>(length) : 0);
    const size_t space = said.find(' ');
    for (const FailedProcess& one : failed_) {
      if (space == said.npos || said.substr(0, space) != std::to_string(one.rank)) continue;
      FailedProcess named = one;
      named.code = said.substr(space + 1, said.find('\n') - space - 1);
      return named;
    }
    const auto killed = std::find_if(failed_.begin(), failed_.end(),
                                     [](const FailedProcess& one) { return one.signal != 0; });
    return killed != failed_.end() ? *killed : failed_.front();
  }

  const ProcessesStart& start_;
  int port_ = 0;
  FileDescriptor reads_;
  FileDescriptor writes_;
  std::vector<pid_t> pids_;  // by rank; 0: ended
  std::vector<FailedProcess> failed_;
  Clock::time_point first_failed_;
};

}  // namespace

std::optional<FailedProcess> run_processes(const ProcessesStart& start) {
  return Children(start).wait();
}

void report_failure(const std::string& code) {
  const char* fd = std::getenv(kFailures);
  const char* rank = std::getenv("RANK");
  if (fd == nullptr || rank == nullptr) return;
  const std::string line = fmt::format("{} {}\n", rank, code);
  [[maybe_unused]] const auto told = ::write(std::atoi(fd), line.data(), line.size());
}

std::string signal_text(int number) {
  const char* name = ::sigabbrev_np(number);
  return name == nullptr ? fmt::format("signal {}", number) : fmt::format("SIG{}", name);
}

}  // namespace regroup
