#include "process_group.h"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "regroup/base/listening.h"
#include "regroup/base/printable.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/strict_json.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto kLookAgain = 20ms;
constexpr auto kBeat = 1s;  // of a process that works while the others wait
constexpr const char* kPulse = "pulse";
constexpr int kExitOfSignal = 128;  // and its number
constexpr auto kRollCall = 10s;     // of processes that miss another one
constexpr auto kLastWord = 1s;      // of a process that has gone, on its way
constexpr auto kFarewell = 10s;     // how long the keeper of the place stays for the others
constexpr const char* kNormalEnd = "{}";
constexpr const char* kLost = "PROCESS_LOST";

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "?";
}

/// The processors that this process may run on: the same text, the same processors.
std::string processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof(set), &set) != 0) return "?";
  std::string text;
  for (size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) text += CPU_ISSET(cpu, &set) ? '1' : '0';
  return text.substr(0, text.rfind('1') + 1);
}

/// Which processes know each other by their numbers: containers on one machine may not. "": not known
std::string pid_space() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/ns/pid", error).string();
}

Json introduction() {
  return {{"pid", ::getpid()},
          {"pids", pid_space()},
          {"host", host_name()},
          {"processors", processors()}};
}

/// Looks until `ready` says yes. @return false when the time has run out
template <typename Ready>
bool wait_until(Clock::time_point end, const Ready& ready) {
  while (!ready()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(kLookAgain);
  }
  return true;
}

/// Whether a process of this machine has ended, be it that nobody has asked for its status yet.
bool has_ended(int pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string text;
  if (!std::getline(file, text)) return true;
  const size_t name_end = text.rfind(") ");
  return name_end != text.npos && (text[name_end + 2] == 'Z' || text[name_end + 2] == 'X');
}

/// What gloo says, without the line of its source.
std::string without_place(const std::string& reason) {
  const std::string line = reason.substr(0, reason.find('\n'));
  const size_t end = line.starts_with('[') ? line.find("] ") : line.npos;
  return end == line.npos ? line : line.substr(end + 2);
}

/// Does something once a second in a thread of its own, until it fails or this ends.
class Beating {
 public:
  explicit Beating(const std::function<void()>& beat)
      : thread_([this, beat](const std::stop_token& stop) {
          try {
            std::unique_lock lock(mutex_);
            do {
              beat();
            } while (!woken_.wait_for(lock, stop, kBeat, [&] { return stop.stop_requested(); }));
          } catch (const std::exception&) {  // the place is gone: the caller will notice
          }
        }) {}

 private:
  std::mutex mutex_;
  std::condition_variable_any woken_;
  std::jthread thread_;  // last: it uses the others
};

std::string list(const std::vector<int>& ranks) {
  std::vector<std::string> texts;
  for (const int rank : ranks) texts.push_back(std::to_string(rank));
  return (ranks.size() == 1 ? "rank " : "ranks ") + join(texts, ", ");
}

}  // namespace

ProcessGroup::ProcessGroup(const Launch& launch, std::chrono::seconds timeout)
    : launch_(launch), timeout_(timeout), members_(static_cast<size_t>(launch.size)) {
  meet();
  count_sharing();
  try {
    transport_ = connect_processes(*place_, launch_, timeout_);
  } catch (const std::exception& error) {
    find_lost(error.what());
  }
}

void ProcessGroup::meet() {
  const auto end = Clock::now() + timeout_;
  const std::string where = fmt::format("{}:{}", launch_.address, launch_.port);
  while (!place_) {
    throw_if_stopped(/*resumable=*/false);
    // c10d says much of an attempt that fails.
    const bool keeps = is_first() && !launch_.meets_at_agent;
    if (keeps || is_listening(launch_.address, launch_.port, 2s)) {
      place_ = open_meeting_place(launch_, timeout_);
    }
    if (place_) return introduce(where);
    if (Clock::now() < end) {
      std::this_thread::sleep_for(kLookAgain);
      continue;
    }
    throw ConfigError({.code = "PROCESSES_MEETING",
                       .message = fmt::format("rank {} of {} must reach the meeting place {} (the "
                                              "machine of rank 0), found nobody there within {} s",
                                              launch_.rank, launch_.size, where, timeout_.count()),
                       .hint = "check that rank 0 runs, MASTER_ADDR and MASTER_PORT; "
                               "`process-timeout` waits longer"});
  }
}

void ProcessGroup::introduce(const std::string& where) {
  try {
    place_->set(fmt::format("here/{}", launch_.rank), introduction().dump());
    wait_for_words();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw ConfigError(
        {.code = "PROCESSES_MEETING",
         .message = fmt::format("rank {} of {} has lost the meeting place {}: {}", launch_.rank,
                                launch_.size, where, printable(error.what(), 200)),
         .hint = "see what rank 0 says"});
  }
}

void ProcessGroup::wait_for_words() {
  std::vector<int> missing;
  const auto all_here = [&] {
    throw_if_stopped(/*resumable=*/false);
    missing.clear();
    for (int rank = 0; rank < size(); ++rank) {
      std::optional<Member>& member = members_[static_cast<size_t>(rank)];
      if (member) continue;
      const auto found = word("here", rank);
      if (!found) {
        missing.push_back(rank);
        continue;
      }
      const Json its = Json::parse(*found);
      member = {.pid = its.at("pid"),
                .pids = its.at("pids"),
                .host = printable(its.at("host").get<std::string>(), 80),
                .processors = its.at("processors")};
    }
    return missing.empty();
  };
  if (wait_until(Clock::now() + timeout_, all_here)) return;
  throw ConfigError(
      {.code = "PROCESSES_MEETING",
       .message = fmt::format("all {} processes must come to {}:{} within {} s, {} did not", size(),
                              launch_.address, launch_.port, timeout_.count(), list(missing)),
       .hint = "check that the launcher started them, that MASTER_ADDR and MASTER_PORT are the "
               "same for all; `process-timeout` waits longer"});
}

void ProcessGroup::count_sharing() {
  const Member& mine = *members_[static_cast<size_t>(rank())];
  sharing_ = here_ = 0;
  for (const auto& its : members_) {
    if (its->host != mine.host) continue;
    ++here_;
    sharing_ += its->processors == mine.processors ? 1 : 0;
  }
}

ProcessGroup::~ProcessGroup() {
  try {
    go(kNormalEnd);
  } catch (const std::exception&) {  // the place is gone: there is nobody to tell
  }
}

void ProcessGroup::go(const std::string& last_word) {
  if (gone_ || !place_) return;
  gone_ = true;
  transport_.reset();  // closes the connections: who waits for this process learns of it
  place_->set(fmt::format("left/{}", rank()), last_word);
  if (!is_first() || launch_.meets_at_agent) return;
  wait_until(Clock::now() + kFarewell, [&] {
    for (int other = 1; other < size(); ++other) {
      if (!lost_.contains(other) && !word("left", other)) return false;
    }
    return true;
  });
}

void ProcessGroup::leave(const Error& why) {
  try {
    go(Json{{"exit", static_cast<int>(why.exit_code())},
            {"code", why.info().code},
            {"message", printable(why.what(), 1000)}}
           .dump());
  } catch (const std::exception&) {  // as above
  }
}

std::optional<std::string> ProcessGroup::word(const char* kind, int rank) const {
  return place_->find(fmt::format("{}/{}", kind, rank));
}

std::string ProcessGroup::name_of(int rank) const {
  const Member& its = *members_[static_cast<size_t>(rank)];
  return fmt::format("rank {} of {} (pid {} on {})", rank, size(), its.pid, its.host);
}

/// Only of a process of this machine can it be known.
bool ProcessGroup::is_dead(int other) const {
  const Member& its = *members_[static_cast<size_t>(other)];
  const Member& mine = *members_[static_cast<size_t>(rank())];
  const bool here = its.host == mine.host && its.pids == mine.pids && !mine.pids.empty();
  return here && has_ended(its.pid);
}

void ProcessGroup::follow(int rank) {
  const auto found = word("left", rank);
  if (!found || *found == kNormalEnd) return;
  const Json why = Json::parse(*found);
  const std::string code = why.at("code");
  if (code == kLost) return;  // it has gone for want of another one
  throw Error(static_cast<ExitCode>(why.at("exit").get<int>()),
              {.code = kLost,
               .message = fmt::format("rank {} ends because {} ended: [{}] {}", launch_.rank,
                                      name_of(rank), code, why.at("message").get<std::string>()),
               .hint = "see what that process says"});
}

void ProcessGroup::find_lost(const std::string& reason) {
  transport_.reset();
  const auto start = Clock::now();
  std::set<int> silent;
  try {
    place_->set(fmt::format("alive/{}", rank()), "1");
    wait_until(start + kRollCall, [&] {
      silent.clear();
      bool unknown = false;
      for (int other = 0; other < size(); ++other) {
        if (other == rank()) continue;
        follow(other);
        if (word("alive", other) || word("left", other)) continue;
        silent.insert(other);
        unknown = unknown || Clock::now() < start + kLastWord || !is_dead(other);
      }
      return !unknown;
    });
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    silent = {0};  // kept the meeting place
  }
  lost_ = silent;
  std::vector<std::string> names;
  for (const int other : lost_) names.push_back(name_of(other));
  const std::string who =
      lost_.empty() ? fmt::format("no process has ended, but one was not answered within {} s",
                                  timeout_.count())
                    : fmt::format("{} ended without a word, or does not answer", join(names, ", "));
  throw StoppedError({.code = "PROCESS_LOST",
                      .message = fmt::format("rank {} ends because {}: {}", launch_.rank, who,
                                             printable(without_place(reason), 200)),
                      .hint = "run the same command again to go on from the newest checkpoint"});
}

template <typename Call>
void ProcessGroup::together(const Call& call) {
  try {
    call();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    find_lost(error.what());
  }
}

void ProcessGroup::all_reduce(const at::Tensor& values) {
  together([&] { transport_->all_reduce(values); });
}

// gloo, as c10d uses it, has no reduce_scatter of its own: that would be this with a copy more.
void ProcessGroup::reduce_scatter(const at::Tensor& share, const at::Tensor& whole) {
  all_reduce(whole);
  const at::Tensor mine = whole.narrow(0, rank() * share.size(0), share.size(0));
  if (!share.is_alias_of(whole)) share.copy_(mine);
}

void ProcessGroup::all_gather(const at::Tensor& whole, const at::Tensor& share) {
  together([&] { transport_->all_gather(whole, share); });
}

void ProcessGroup::broadcast(const at::Tensor& values, int root) {
  together([&] { transport_->broadcast(values, root); });
}

void ProcessGroup::barrier() {
  together([&] { transport_->barrier(); });
}

void ProcessGroup::first_works(const std::function<void()>& work, bool stoppable) {
  const std::string key = fmt::format("work/{}", works_++);
  if (!is_first()) return together([&] { wait_for_first(key, stoppable); });
  {
    const Beating beating([&] {
      place_->set(kPulse, std::to_string(++beats_));
      if (stoppable) take_over_signal();
    });
    work();
  }
  together([&] { place_->set(key, "1"); });
}

void ProcessGroup::wait_for_first(const std::string& key, bool stoppable) {
  std::optional<std::string> pulse;
  int64_t silent = 0;  // looks, not time: this process may have been suspended with the other one
  auto next_look = Clock::now() + kBeat;
  while (!place_->find(key)) {
    if (stoppable) throw_if_stopped(/*resumable=*/false);
    follow(0);
    // Where it has ended in good order, what it left behind is there by now.
    if (is_dead(0) && !place_->find(key)) find_lost("it had work to do for all");
    if (Clock::now() > next_look) {
      next_look = Clock::now() + kBeat;
      std::optional<std::string> now = place_->find(kPulse);
      silent = now == pulse ? silent + 1 : 0;
      pulse = std::move(now);
      if (silent > timeout_ / kBeat) {
        find_lost(fmt::format("nothing was heard of its work for {} s", timeout_.count()));
      }
    }
    std::this_thread::sleep_for(kLookAgain);
  }
}

void ProcessGroup::take_over_signal() const {
  for (int other = 1; other < size() && stop_signal() == 0; ++other) {
    const auto found = word("left", other);
    if (!found || *found == kNormalEnd) continue;
    const Json why = Json::parse(*found);
    if (why.at("code") != "INTERRUPTED") continue;
    set_stop_signal(why.at("exit").get<int>() - kExitOfSignal);
  }
}

std::unique_ptr<Processes> join_processes(const Launch& launch, std::chrono::seconds timeout) {
  return std::make_unique<ProcessGroup>(launch, timeout);
}

}  // namespace regroup
