#pragma once

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <map>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "cli/cli_tools.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {

// Calls that change a file fail, one a run (support/failing_calls.cpp): a full disk, a broken one, an interrupted call, a
// write that puts half of its bytes. What was there stays whole, what is new is absent or whole, the message is one for a
// user, and the same command finishes later.

struct Failure {
  const char* name;
  int error_number;
  bool once;  ///< else all later calls fail too
  bool torn;
};
inline constexpr Failure kFailures[] = {{"full disk", ENOSPC, false, false},
                                        {"broken disk", EIO, true, false},
                                        {"torn write", ENOSPC, false, true},
                                        {"short write", ENOSPC, true, true},
                                        {"interrupted call", EINTR, true, false}};

/// A call that changes a file: "write" and the file's path below the workplace.
struct Call {
  std::string name;
  std::string path;
};

struct Command {
  Words words;
  std::function<void(const Workplace&)> prepare = [](const Workplace&) {};
  /// What is in the folder after a failed run.
  std::function<void(const Workplace&)> after_failure = [](const Workplace&) {};
  /// What is in the folder at the end.
  std::function<void(const Workplace&)> at_the_end = [](const Workplace&) {};
  int step = 1;  ///< every so many calls
  /// One failure a call, in turn, for the first and the last of the same calls on a file. All of them where
  /// $REGROUP_EVERY_CALL is set, which takes minutes.
  bool in_turn = false;
  /// Calls that fail: those that no other test walks over.
  std::function<bool(const Call&)> is_walked = [](const Call&) { return true; };
};

inline void write_tokens(const Workplace& w) {
  TokenFileWriter writer(w.folder / "a.bin", 64);
  std::vector<int32_t> ids;
  for (int i = 0; i < 400; ++i) ids.push_back(i * i % 13);
  writer.add(ids);
  writer.finish();
}

/// A result that is there is whole.
inline Json expect_object(const std::string& path) {
  if (!path_exists(path)) return {};
  Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  EXPECT_TRUE(json.is_object()) << path;
  return json;
}

inline Words resolved_words(const Workplace& w, const Command& command) {
  Words words;
  for (const std::string& word : command.words) words.push_back(resolved(w, word));
  return words;
}

/// The command with `settings` of support/failing_calls.cpp.
inline Finished run_watched(const Workplace& w, const Command& command, const Words& settings) {
  Words words = {"LD_PRELOAD=" REGROUP_FAILING_CALLS_LIBRARY,
                 "REGROUP_FAIL_BELOW=" + w.folder.path()};
  words.insert(words.end(), settings.begin(), settings.end());
  words.emplace_back(REGROUP_BINARY);
  const Words given = resolved_words(w, command);
  words.insert(words.end(), given.begin(), given.end());
  return run_process("/usr/bin/env", words);
}

inline std::vector<Call> read_calls(const Workplace& w, const std::string& log) {
  std::vector<Call> calls;
  std::istringstream lines(path_exists(log) ? read_file(log) : "");
  for (std::string line; std::getline(lines, line);) {
    const size_t space = line.find(' ');
    std::string path = line.substr(space + 1);
    if (path.starts_with(w.folder.path())) path.erase(0, w.folder.path().size());
    calls.push_back({line.substr(0, space), path});
  }
  return calls;
}

/// All calls of the command, none of which fails.
inline std::vector<Call> calls_of(const Command& command) {
  const Workplace w;
  const TemporaryFolder outside;
  command.prepare(w);
  const Finished run = run_watched(w, command, {"REGROUP_FAIL_TRACE=" + (outside / "trace")});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  command.at_the_end(w);
  return read_calls(w, outside / "trace");
}

inline bool removes(const Call& call) {
  return call.name.starts_with("unlink") || call.name == "rmdir" || call.name == "remove";
}

inline bool can_happen(const Failure& failure, const Call& call) {
  if (failure.torn) return call.name == "write";
  if (removes(call)) return failure.error_number == EIO;
  const bool waits = call.name == "open" || call.name == "write" || call.name == "pwrite" ||
                     call.name == "fsync" || call.name == "fallocate" || call.name == "ftruncate";
  return waits || failure.error_number != EINTR;  // no signal interrupts the others
}

/// Whether the command must succeed although `call` failed.
inline bool is_harmless(const Failure& failure, const Call& call) {
  if (failure.torn) return failure.once && call.name == "write";
  return failure.error_number == EINTR;
}

/// Whether it may: done another way, or something is left that hurts nobody.
inline bool may_go_on(const Failure& failure, const Call& call) {
  return failure.once && (call.name == "renameat2" || removes(call));
}

inline int failures_so_far() {
  return ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
}

/// One run whose `at`-th call fails, and the same command after it. @return whether that call failed
inline bool fail_once(const Command& command, const Failure& failure, size_t at) {
  const Workplace w;
  const TemporaryFolder outside;
  command.prepare(w);
  Words settings = {fmt::format("REGROUP_FAIL_AT={}", at),
                    fmt::format("REGROUP_FAIL_ERRNO={}", failure.error_number),
                    "REGROUP_FAIL_LOG=" + (outside / "call")};
  if (failure.once) settings.emplace_back("REGROUP_FAIL_ONCE=1");
  if (failure.torn) settings.emplace_back("REGROUP_FAIL_TORN=1");
  const Finished run = run_watched(w, command, settings);
  const std::vector<Call> failed = read_calls(w, outside / "call");
  if (failed.empty()) {
    EXPECT_EQ(run.exit_code, 0) << "no call failed: " << run.err;
  }
  if (failed.empty() || !can_happen(failure, failed.front())) return false;
  const Call& call = failed.front();
  SCOPED_TRACE(
      fmt::format("{} at call {}, {} {}: {}", failure.name, at, call.name, call.path, run.err));
  EXPECT_TRUE(is_civil(run.err));
  const bool goes_on =
      is_harmless(failure, call) || (run.exit_code == 0 && may_go_on(failure, call));
  EXPECT_EQ(run.exit_code, goes_on ? 0 : 5);
  if (run.exit_code != 0) {
    EXPECT_TRUE(contains(run.err, "error[IO_")) << "of what kind it is";
    EXPECT_TRUE(contains(run.err, w.folder.path())) << "where";
    command.after_failure(w);
    const Finished finished = regroup(resolved_words(w, command));
    EXPECT_EQ(finished.exit_code, 0) << "the same command later: " << finished.err;
  }
  command.at_the_end(w);
  return true;
}

/// "/out/run.json.tmp123" and "/out/results_2026.json" have other numbers the next time.
inline std::string without_numbers(const std::string& path) {
  static const std::regex kDrawn("tmp[0-9]+|[0-9]{4,}[-0-9T.]*|-[A-Za-z0-9]{6}(?=[/ ]|$)");
  return std::regex_replace(path, kDrawn, "#");
}

/// The first and the last call of each kind on each file. Their numbers, from 1.
inline std::vector<size_t> different_calls(const Command& command, const std::vector<Call>& calls) {
  std::map<std::string, std::pair<size_t, size_t>> ends;
  for (size_t i = 0; i < calls.size(); ++i) {
    if (!command.is_walked(calls[i])) continue;
    const std::string key = calls[i].name + without_numbers(calls[i].path);
    ends.try_emplace(key, i + 1, i + 1).first->second.second = i + 1;
  }
  std::vector<size_t> numbers;
  for (const auto& [key, range] : ends) {
    numbers.push_back(range.first);
    if (range.second != range.first) numbers.push_back(range.second);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

inline std::vector<Failure> failures_of(const Call& call) {
  std::vector<Failure> all;
  std::copy_if(std::begin(kFailures), std::end(kFailures), std::back_inserter(all),
               [&](const Failure& failure) { return can_happen(failure, call); });
  return all;
}

/// @return the number of calls that failed
inline int walk_in_turn(const Command& command, const std::vector<Call>& calls) {
  int failed = 0;
  size_t turn = 0;
  const int before = failures_so_far();
  for (const size_t at : different_calls(command, calls)) {
    const std::vector<Failure> failures = failures_of(calls[at - 1]);
    if (fail_once(command, failures[turn++ % failures.size()], at)) ++failed;
    if (failures_so_far() > before) return failed;  // one is enough to read
  }
  return failed;
}

/// @return the number of calls that failed
inline int walk(const Command& command, const std::vector<Call>& calls, const Failure& failure) {
  int failed = 0;
  const int before = failures_so_far();
  for (size_t i = 0; i < calls.size(); i += static_cast<size_t>(command.step)) {
    if (!can_happen(failure, calls[i]) || !command.is_walked(calls[i])) continue;
    if (fail_once(command, failure, i + 1)) ++failed;
    if (failures_so_far() > before) return failed;
  }
  return failed;
}

/// @param fewest  calls that must have failed, so that the walk walks
inline void walk_all(const Command& command, int fewest) {
  const std::vector<Call> calls = calls_of(command);
  if (command.in_turn && std::getenv("REGROUP_EVERY_CALL") == nullptr) {
    const int failed = walk_in_turn(command, calls);
    std::printf("%d of %zu calls\n", failed, calls.size());
    EXPECT_GE(failed, fewest);
    return;
  }
  for (const Failure& failure : kFailures) {
    const int failed = walk(command, calls, failure);
    std::printf("%s: %d of %zu calls\n", failure.name, failed, calls.size());
    EXPECT_GE(failed, failure.error_number == ENOSPC && !failure.torn ? fewest / command.step : 1)
        << failure.name;
  }
}

}  // namespace regroup::testing
