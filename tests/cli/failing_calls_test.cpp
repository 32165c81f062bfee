// Calls that change a file fail, one a run: a full disk, a broken one, an interrupted call, a write that puts half of
// its bytes. Each call of convert, eval, report and tokenize in turn, every seventh where LibTorch makes runs long. What was there stays whole, what is new is absent or
// whole, the message is one for a user, and the same command finishes later.
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/text/token_file.h"
#include "support/tiny_tokenizer.h"

namespace regroup::testing {
namespace {

struct Failure {
  const char* name;
  int error_number;
  bool once;  ///< else all later calls fail too
  bool torn;
};
constexpr Failure kFull{"full disk", ENOSPC, false, false};
constexpr Failure kBroken{"broken disk", EIO, true, false};
constexpr Failure kTorn{"torn write", ENOSPC, false, true};
constexpr Failure kShort{"short write", ENOSPC, true, true};
constexpr Failure kInterrupted{"interrupted call", EINTR, true, false};

struct Command {
  Words words;
  std::function<void(const Workplace&)> prepare = [](const Workplace&) {};
  /// What is in the folder after a failed run.
  std::function<void(const Workplace&)> after_failure = [](const Workplace&) {};
  /// What is in the folder at the end.
  std::function<void(const Workplace&)> at_the_end = [](const Workplace&) {};
  int step = 1;  ///< every so many calls
};

/// The command with its `at`-th call failing. @param call  the name of that call; "" when there are fewer
Finished failing(const Workplace& w, const Command& command, const Failure& failure, int at,
                 std::string* call) {
  const TemporaryFolder outside;
  const std::string log = outside / "call";
  Words words = {"LD_PRELOAD=" REGROUP_FAILING_CALLS_LIBRARY,
                 "REGROUP_FAIL_BELOW=" + w.folder.path(), fmt::format("REGROUP_FAIL_AT={}", at),
                 fmt::format("REGROUP_FAIL_ERRNO={}", failure.error_number),
                 "REGROUP_FAIL_LOG=" + log};
  if (failure.once) words.emplace_back("REGROUP_FAIL_ONCE=1");
  if (failure.torn) words.emplace_back("REGROUP_FAIL_TORN=1");
  words.emplace_back(REGROUP_BINARY);
  for (const std::string& word : command.words) words.push_back(resolved(w, word));
  const Finished run = run_process("/usr/bin/env", words);
  *call = path_exists(log) ? read_file(log) : "";
  return run;
}

/// Whether the command must succeed although `call` failed.
bool is_harmless(const Failure& failure, const std::string& call) {
  const bool writes = call == "write" || call == "pwrite";
  if (failure.torn) return failure.once && writes;
  return failure.error_number == EINTR;
}

/// Calls that no signal interrupts.
bool cannot_happen(const Failure& failure, const std::string& call) {
  const bool waits = call == "open" || call == "write" || call == "pwrite" || call == "fsync" ||
                     call == "fallocate" || call == "ftruncate";
  return (failure.error_number == EINTR && !waits) || (failure.torn && call != "write");
}

int failures() {
  return ::testing::UnitTest::GetInstance()->current_test_info()->result()->total_part_count();
}

/// @return the number of calls that failed, one a run
int walk(const Command& command, const Failure& failure) {
  int failed = 0;
  const int before = failures();
  for (int at = 1;; at += command.step) {
    const Workplace w;
    command.prepare(w);
    std::string call;
    const Finished run = failing(w, command, failure, at, &call);
    SCOPED_TRACE(fmt::format("{} at call {}, {}: {}", failure.name, at, call, run.err));
    if (call.empty()) {
      EXPECT_EQ(run.exit_code, 0);
      return failed;
    }
    if (cannot_happen(failure, call)) continue;
    ++failed;
    EXPECT_TRUE(is_civil(run.err));
    const bool goes_on = is_harmless(failure, call) || (run.exit_code == 0 && failure.once &&
                                                        call == "renameat2");  // done another way
    EXPECT_EQ(run.exit_code, goes_on ? 0 : 5);
    if (run.exit_code != 0) {
      command.after_failure(w);
      Words again;
      for (const std::string& word : command.words) again.push_back(resolved(w, word));
      const Finished finished = regroup(again);
      EXPECT_EQ(finished.exit_code, 0) << "the same command later: " << finished.err;
    }
    command.at_the_end(w);
    if (failures() > before) return failed;  // one is enough to read
  }
}

void walk_all(const Command& command, int fewest) {
  for (const Failure& failure : {kFull, kBroken, kTorn, kShort, kInterrupted}) {
    const int failed = walk(command, failure);
    std::printf("%s: %d calls\n", failure.name, failed);
    EXPECT_GE(failed, failure.name == kFull.name ? fewest / command.step : 1) << failure.name;
  }
}

void expect_whole(const Workplace& w) {
  EXPECT_EQ(regroup({"verify", w.out, "--against", w.model}).exit_code, 0);
  EXPECT_FALSE(path_exists(w.out + ".partial"));
}

void write_tokens(const Workplace& w) {
  TokenFileWriter writer(w.folder / "a.bin", 64);
  std::vector<int32_t> ids;
  for (int i = 0; i < 400; ++i) ids.push_back(i * i % 13);
  writer.add(ids);
  writer.finish();
}

TEST(FailingCalls, Convert) {
  walk_all({.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--method", "mean"},
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.out)) expect_whole(w);  // it failed after the rename
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = expect_whole},
           15);
}

TEST(FailingCalls, ConvertOverAnother) {
  walk_all(
      {.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--method", "mean", "--overwrite"},
       .prepare =
           [](const Workplace& w) {
             ASSERT_EQ(regroup({"convert", w.model, w.out, "--kv-heads", "1", "--method", "mean"})
                           .exit_code,
                       0);
           },
       .after_failure =
           [](const Workplace& w) {
             EXPECT_EQ(regroup({"verify", w.out}).exit_code, 0) << "the old one, or the new";
           },
       .at_the_end = expect_whole},
      15);
}

TEST(FailingCalls, ConvertWithText) {
  walk_all({.words = {"convert", "MODEL", "OUT", "--kv-heads", "2", "--calibration", "@a.bin",
                      "--calibration-tokens", "256", "--calibration-seq-len", "32", "--layer-steps",
                      "2", "--threads", "1", "--device", "cpu", "--scratch", "@scratch"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  std::filesystem::create_directory(w.folder / "scratch");
                },
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.out)) expect_whole(w);
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = expect_whole,
            .step = 7},
           30);
}

TEST(FailingCalls, Uptrain) {
  const auto whole = [](const Workplace& w) {
    EXPECT_EQ(regroup({"verify", w.out + "/model"}).exit_code, 0);
  };
  walk_all({.words = {"uptrain", "MODEL", "OUT", "--data", "@a.bin", "--steps", "2", "--seq-len",
                      "16", "--batch-size", "2", "--checkpoint-every", "1", "--lr", "1e-3",
                      "--threads", "1", "--device", "cpu"},
            .prepare = write_tokens,
            .after_failure =
                [whole](const Workplace& w) {
                  if (!path_exists(w.out + "/model")) return;
                  whole(w);
                  std::filesystem::remove_all(w.out);
                },
            .at_the_end = whole,
            .step = 7},
           60);
}

TEST(FailingCalls, Eval) {
  const auto whole = [](const Workplace& w) {
    EXPECT_TRUE(Json::parse(read_file(w.folder / "results.json")).is_object());
  };
  walk_all({.words = {"eval", "MODEL", "--tokens", "@a.bin", "--seq-len", "32", "--out",
                      "@results.json", "--threads", "1", "--device", "cpu"},
            .prepare = write_tokens,
            .after_failure =
                [whole](const Workplace& w) {
                  if (path_exists(w.folder / "results.json")) whole(w);
                },
            .at_the_end = whole},
           5);
}

TEST(FailingCalls, Report) {
  const auto whole = [](const Workplace& w) {
    EXPECT_TRUE(read_file(w.folder / "report.html").ends_with("</html>\n"));
  };
  walk_all({.words = {"report", "--results", "@results.json", "--out", "@report.html"},
            .prepare =
                [](const Workplace& w) {
                  write_tokens(w);
                  ASSERT_EQ(regroup({"eval", w.model, "--tokens", w.folder / "a.bin", "--seq-len",
                                     "32", "--out", w.folder / "results.json", "--threads", "1"})
                                .exit_code,
                            0);
                },
            .after_failure =
                [whole](const Workplace& w) {
                  if (path_exists(w.folder / "report.html")) whole(w);
                },
            .at_the_end = whole},
           5);
}

TEST(FailingCalls, Tokenize) {
  if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
  walk_all({.words = {"tokenize", "@tokens", "@text.txt", "--out", "@b.bin"},
            .prepare =
                [](const Workplace& w) {
                  write_tiny_model(w.folder / "tokens", {.n_layers = 1, .vocab_size = 512});
                  std::filesystem::copy_file(kTokenizer, w.folder / "tokens/tokenizer.model");
                  w.folder.write("text.txt", "Tom has a kite and one ball. ");
                },
            .after_failure =
                [](const Workplace& w) {
                  if (path_exists(w.folder / "b.bin")) TokenFile(w.folder / "b.bin");
                },
            .at_the_end =
                [](const Workplace& w) {
                  EXPECT_GT(TokenFile(w.folder / "b.bin").size(), 0);
                  EXPECT_TRUE(path_exists(w.folder / "b.bin.json"));
                }},
           5);
}

}  // namespace
}  // namespace regroup::testing
