// How many threads a command takes, as its user sees it.
#include <sched.h>

#include "cli/cli_tools.h"

namespace regroup::testing {
namespace {

class Threads : public ::testing::Test {
 protected:
  void SetUp() override {
    write_tiny_model(folder_ / "model", {.n_layers = 1, .vocab_size = 16});
    std::string ids;  // uint16, little endian
    for (int i = 0; i < 200; ++i) ids += {static_cast<char>(i % 16), '\0'};
    folder_.write("ids.bin", ids);
  }

  /// What `uptrain` says of its threads, with `setting` in the environment.
  int64_t of_uptrain(const std::string& setting, const Words& more = {}) {
    const std::string out = folder_ / fmt::format("out{}", runs_++);
    const Finished run = run_process(
        "/usr/bin/env", with({setting, REGROUP_BINARY, "uptrain", folder_ / "model", out, "--data",
                              folder_ / "ids.bin", "--token-format", "nanogpt", "--steps", "1",
                              "--seq-len", "8", "--batch-size", "2", "--device", "cpu", "--json"},
                             more));
    EXPECT_EQ(run.exit_code, 0) << run.err;
    const int64_t threads = Json::parse(run.out).at("threads");
    EXPECT_TRUE(contains(run.err, threads == 1 ? "fp32 on cpu, 1 thread,"
                                               : fmt::format("fp32 on cpu, {} threads,", threads)));
    return threads;
  }

 private:
  TemporaryFolder folder_;
  int runs_ = 0;
};

TEST_F(Threads, OpenMpLimitsThemAndTheFlagWins) {
  EXPECT_EQ(of_uptrain("OMP_NUM_THREADS=1"), 1);
  EXPECT_EQ(of_uptrain("OMP_NUM_THREADS=1,2"), 1);
  EXPECT_EQ(of_uptrain("OMP_NUM_THREADS=1", {"--threads", "2"}), 2);
}

TEST_F(Threads, AreNoMoreThanTheProcessorsAllowed) {
  cpu_set_t before;
  ASSERT_EQ(::sched_getaffinity(0, sizeof(before), &before), 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  for (size_t cpu = 0; CPU_COUNT(&one) == 0; ++cpu) {
    if (CPU_ISSET(cpu, &before)) CPU_SET(cpu, &one);
  }
  ASSERT_EQ(::sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(of_uptrain("LC_ALL=C"), 1);
  ASSERT_EQ(::sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace regroup::testing
