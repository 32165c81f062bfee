// Processes that are started together: what they are told, who is named when one fails, and how signals reach them.
#include "regroup/base/child_processes.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "regroup/base/stop_signal.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

ProcessesStart shell(const std::string& script, int count) {
  return {.program = "/bin/sh", .arguments = {"-c", script}, .count = count};
}

TEST(ChildProcesses, AreToldTheirPlace) {
  const TemporaryFolder folder;
  const std::string script =
      "echo $RANK $WORLD_SIZE $LOCAL_RANK $LOCAL_WORLD_SIZE $MASTER_ADDR > " + (folder / "$RANK") +
      "; test $MASTER_PORT -gt 0 && echo out";
  ProcessesStart start = shell(script, 3);
  start.out_path = folder / "out";
  EXPECT_FALSE(run_processes(start).has_value());
  EXPECT_EQ(read_file(folder / "0"), "0 3 0 3 127.0.0.1\n");
  EXPECT_EQ(read_file(folder / "2"), "2 3 2 3 127.0.0.1\n");
  EXPECT_EQ(read_file(folder / "out"), "out\n");
}

TEST(ChildProcesses, WhoFailedOfItsOwnIsNamed) {
  // Rank 2 ends last, but it was the one that said so.
  const auto said = run_processes(shell(
      "test $RANK = 2 || exit 75; echo '2 CKPT_STATE' >&$REGROUP_FAILURES_FD; sleep 0.3; exit 3",
      3));
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said->rank, 2);
  EXPECT_EQ(said->code, "CKPT_STATE");
  EXPECT_EQ(said->exit_status, 3);
  const auto killed = run_processes(shell("test $RANK = 1 && kill -9 $$; sleep 0.2; exit 75", 3));
  ASSERT_TRUE(killed.has_value());
  EXPECT_EQ(killed->rank, 1);
  EXPECT_EQ(killed->signal, SIGKILL);
  EXPECT_EQ(signal_text(killed->signal), "SIGKILL");
}

TEST(ChildProcesses, WhoOutlivesAFailureTooLongIsKilled) {
  ProcessesStart start = shell("test $RANK = 0 && exit 4; exec sleep 60", 2);
  start.patience = std::chrono::seconds(1);
  const auto begun = std::chrono::steady_clock::now();
  run_processes(start);
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(20));
}

TEST(ChildProcesses, AStopIsSentOn) {
  const TemporaryFolder folder;
  const std::string script = "trap 'echo stopped > " + (folder / "$RANK") +
                             "; exit 75' TERM; touch " + (folder / "ready$RANK") +
                             "; while :; do sleep 0.05; done";
  std::jthread asks([&] {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    set_stop_signal(SIGTERM);
  });
  const auto failed = run_processes(shell(script, 2));
  set_stop_signal(0);
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->exit_status, 75);
  for (const char* rank : {"0", "1"}) EXPECT_EQ(read_file(folder / rank), "stopped\n");
}

TEST(ChildProcesses, AProgramThatIsNotThere) {
  const auto failed = run_processes({.program = "/no/such/program", .count = 2});
  ASSERT_TRUE(failed.has_value());
  EXPECT_EQ(failed->exit_status, 127);
}

}  // namespace
}  // namespace regroup::testing
