// A command that goes on with what an earlier run left, stopped before it gets that far.
#include <sched.h>

#include <csignal>
#include <filesystem>

#include "cli/cli_tools.h"
#include "regroup/base/path.h"
#include "regroup/text/token_file.h"

namespace regroup::testing {
namespace {

/// Runs `regroup` and sends SIGTERM as soon as it says something.
Finished stopped_at_its_first_word(const Words& arguments) {
  const TemporaryFolder folder;
  const std::string err = folder / "err";
  const pid_t child = start_process(REGROUP_BINARY, arguments, folder / "out", err);
  int status = 0;
  const auto is_silent = [&] { return !path_exists(err) || std::filesystem::is_empty(err); };
  bool ended = false;
  while (!ended && is_silent()) {
    ended = ::waitpid(child, &status, WNOHANG) == child;
    ::sched_yield();
  }
  if (!ended) {
    ::kill(child, SIGTERM);
    ::waitpid(child, &status, 0);
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(folder / "out"), read_file(err)};
}

// The model's notice comes before its 34 MB of weights are read.
TEST(Eval, StoppedWhileItLoadsKeepsTheStateOfAnEarlierRun) {
  const TemporaryFolder folder;
  write_tiny_model(folder / "model", {.n_layers = 1,
                                      .hidden_size = 256,
                                      .vocab_size = 16384,
                                      .extra_config = {{"custom_pipelines", Json::object()}}});
  TokenFileWriter writer(folder / "a.bin", 16384);
  writer.add(std::vector<int32_t>(200, 1));
  writer.finish();
  const std::string out = folder / "out.json";
  const Words command = {
      "eval", folder / "model", "--tokens", folder / "a.bin", "--out", out, "--seq-len",
      "16",   "--device",       "cpu",      "--threads",      "1"};
  write_file(out + ".partial", safetensors_bytes({}, {{"format", "regroup-eval-state/6"}}));
  const Finished rerun = stopped_at_its_first_word(command);
  EXPECT_EQ(rerun.exit_code, 75) << rerun.err;
  EXPECT_TRUE(contains(rerun.err, "error[STOPPED]"));
}

}  // namespace
}  // namespace regroup::testing
