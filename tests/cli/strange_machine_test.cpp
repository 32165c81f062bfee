// The binary on file systems that lack calls, and what each signal does to it.
#include <signal.h>

#include <cstdlib>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"
#include "support/tiny_tokenizer.h"

namespace regroup::testing {
namespace {

/// `arguments` with system calls that answer `quirk`.
Finished regroup_with(const std::string& quirk, const Words& arguments) {
  Words words = {"LD_PRELOAD=" REGROUP_QUIRKS_LIBRARY, "REGROUP_QUIRKS=" + quirk, REGROUP_BINARY};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return run_process("/usr/bin/env", words);
}

TEST(FileSystems, WithoutACallAreGoodEnough) {
  for (const std::string quirk : {"flock=38", "flock=37", "renameat2=38", "renameat2=95",
                                  "renameat2=1", "fsync_folder=95", "fallocate=95"}) {
    SCOPED_TRACE(quirk);
    const Workplace w;
    const Words command = {"convert", w.model, w.out, "--kv-heads", "2"};
    const Finished run = regroup_with(quirk, command);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.err.find("this file system cannot lock it") != std::string::npos,
              quirk.starts_with("flock"))
        << run.err;
    EXPECT_EQ(regroup({"verify", w.out, "--against", w.model}).exit_code, 0);
    EXPECT_EQ(regroup_with(quirk, command).exit_code, 2) << "what is there is not replaced";
    EXPECT_EQ(regroup_with(quirk, with(command, {"--overwrite"})).exit_code, 0);
  }
}

/// A process, signalled once `sign` is there or what it says on stderr begins.
int signalled(const Words& command, const std::string& sign, int number, const Workplace& w) {
  const pid_t child =
      start_process(REGROUP_BINARY, command, w.folder / "stdout", w.folder / "stderr");
  for (int i = 0; i < 60'000 && !path_exists(sign) && read_file(w.folder / "stderr").empty(); ++i) {
    ::usleep(1000);
  }
  ::kill(child, number);
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/// A token file of so many ids.
void write_tokens(const Workplace& w, size_t n) {
  TokenFileWriter writer(w.folder / "a.bin", 64);
  writer.add(std::vector<int32_t>(n, 1));
  writer.finish();
}

TEST(Signals, ThatAskForAnEndSaveAnUptraining) {
  for (const int number : {SIGHUP, SIGUSR1, SIGUSR2, SIGXCPU}) {
    const Workplace w;
    write_tokens(w, 200);
    EXPECT_EQ(signalled({"uptrain", w.model, w.out, "--data", w.folder / "a.bin", "--steps",
                         "1000000", "--seq-len", "16", "--batch-size", "2", "--device", "cpu",
                         "--threads", "1", "--quiet"},
                        w.out + "/metrics.jsonl", number, w),
              75)
        << read_file(w.folder / "stderr");
    EXPECT_TRUE(path_exists(w.out + "/checkpoints"));
  }
}

TEST(Signals, EndAnEvaluationThatGoesOnLater) {
  const Workplace w;
  write_tokens(w, 3'000'000);
  const Words command = {"eval",      w.model, "--tokens",     w.folder / "a.bin",
                         "--seq-len", "64",    "--device",     "cpu",
                         "--threads", "1",     "--batch-size", "8"};
  EXPECT_EQ(signalled(command, "", SIGINT, w), 130) << "nothing is kept";
  const std::string results = w.folder / "results.json";
  EXPECT_EQ(signalled(with(command, {"--out", results}), "", SIGTERM, w), 75)
      << read_file(w.folder / "stderr");
  EXPECT_TRUE(path_exists(results + ".partial"));
  EXPECT_FALSE(path_exists(results));
}

TEST(Signals, EndATokenization) {
  const Workplace w;
  w.folder.write("model/tokenizer.model", tiny_sentencepiece({"\u2581a", "\u2581", "a"}));
  std::string lines;
  for (int i = 0; i < 3'000'000; ++i) lines += "{\"text\": \"a a a\"}\n";
  w.folder.write("a.jsonl", lines);
  EXPECT_EQ(signalled({"tokenize", w.model, w.folder / "a.jsonl", "--out", w.folder / "tokens.bin"},
                      "", SIGTERM, w),
            143);
  EXPECT_FALSE(path_exists(w.folder / "tokens.bin"));
}

}  // namespace
}  // namespace regroup::testing
