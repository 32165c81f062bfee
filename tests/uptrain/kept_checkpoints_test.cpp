// At no moment does a run hold fewer intact checkpoints than it was asked to keep.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

ino_t identity(const std::string& path) {
  struct stat status = {};
  EXPECT_EQ(::stat(path.c_str(), &status), 0) << path;
  return status.st_ino;
}

void damage(const std::string& checkpoint) {
  fs::resize_file(checkpoint + "/state.safetensors", 100);
}

std::vector<std::string> checkpoints(const std::string& out) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(out + "/checkpoints")) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Writing step-3 again would remove it first: killed then, the run would have nothing.
TEST(KeptCheckpoints, AStopRightAfterAPeriodicSaveLeavesItAlone) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  options.checkpoint_every = 3;
  options.keep_checkpoints = 1;
  ino_t periodic = 0;
  TrainObserver observer;
  observer.noted = [&](const std::string&) {
    if (periodic == 0) periodic = identity(options.out + "/checkpoints/step-3");
    set_stop_signal(SIGTERM);
  };
  EXPECT_THROW(uptrain(options, observer), StoppedError);
  set_stop_signal(0);
  ASSERT_NE(periodic, 0u);
  EXPECT_EQ(identity(options.out + "/checkpoints/step-3"), periodic);
}

TEST(KeptCheckpoints, AStopBeforeTheFirstStepOfAResumedRunLeavesItAlone) {
  const Fixture f;
  const UptrainOptions options = f.into("run");
  stop_after(options, 3);
  const ino_t before = identity(options.out + "/checkpoints/step-3");
  TrainObserver observer;
  observer.started = [](const RunFacts&) { set_stop_signal(SIGTERM); };  // between micro-batches
  EXPECT_THROW(uptrain(options, observer), StoppedError);
  set_stop_signal(0);
  EXPECT_EQ(identity(options.out + "/checkpoints/step-3"), before);
}

// step-6 is damaged and skipped. Were it counted among the one to keep, the intact one would go.
TEST(KeptCheckpoints, DamagedOnesDoNotCrowdOutIntactOnes) {
  const Fixture f;
  uptrain(f.into("whole"), {});
  UptrainOptions options = f.into("run");
  options.checkpoint_every = 2;
  options.keep_checkpoints = 2;
  stop_after(options, 6);
  damage(options.out + "/checkpoints/step-6");
  options.checkpoint_every = 0;
  options.keep_checkpoints = 1;
  stop_after(options, 5);
  EXPECT_EQ(checkpoints(options.out), std::vector<std::string>{"step-5"});
  EXPECT_EQ(uptrain(options, {}).resumed_from, 5);
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
}

// What a kill left half-written goes with the next checkpoint, whatever its step.
TEST(KeptCheckpoints, UnfinishedOnesAreRemoved) {
  const Fixture f;
  const UptrainOptions options = f.into("run");
  stop_after(options, 2);
  fs::create_directory(options.out + "/checkpoints/step-7.partial");
  stop_after(options, 4);
  EXPECT_EQ(checkpoints(options.out), (std::vector<std::string>{"step-2", "step-4"}));
}

}  // namespace
}  // namespace regroup::testing
