#include <fmt/format.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "regroup/base/digest.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

namespace fs = std::filesystem;

class Resume : public ::testing::TestWithParam<std::string> {};

TEST_P(Resume, StoppedAnywhereEndsInTheSameBytes) {
  for (const at::Device device : devices()) {
    SCOPED_TRACE(device.str());
    const Fixture f(GetParam(), device);
    const TrainResult whole = uptrain(f.into("whole"), {});
    EXPECT_EQ(whole.steps, 8);
    EXPECT_EQ(whole.tokens, 8 * 4 * 16);
    ASSERT_EQ(step_lines(f.folder / "whole").size(), 8u);
    for (const int64_t k : {1, 3, 7}) {
      const UptrainOptions options = f.into(fmt::format("stopped-{}", k));
      stop_after(options, k);
      EXPECT_FALSE(path_exists(options.out + "/model"));
      const TrainResult resumed = uptrain(options, {});
      EXPECT_EQ(resumed.resumed_from, k);
      EXPECT_EQ(resumed.loss, whole.loss);
      EXPECT_EQ(resumed.val_loss, whole.val_loss);
      EXPECT_EQ(resumed.best_val_loss, whole.best_val_loss);
      EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole")) << "stopped after " << k;
      EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"))
          << "stopped after " << k;
    }
  }
}

TEST_P(Resume, StoppedTwiceEndsInTheSameBytes) {
  for (const at::Device device : devices()) {
    SCOPED_TRACE(device.str());
    const Fixture f(GetParam(), device);
    uptrain(f.into("whole"), {});
    const UptrainOptions options = f.into("stopped");
    stop_after(options, 2);
    stop_after(options, 5);
    uptrain(options, {});
    EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
    EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
  }
}

INSTANTIATE_TEST_SUITE_P(Precision, Resume, ::testing::Values("fp32", "bf16"),
                         [](const auto& parameter) { return parameter.param; });

TEST(Checkpoints, AnotherLearningRateIsRefusedAndChangesNothing) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  stop_after(options, 3);
  const std::string before = read_tree(options.out);
  options.learning_rate = 2e-2;
  options.recipe_text = "[uptrain]\nlr = 2e-2\n";
  const ErrorInfo error = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_EQ(error.message,
            fmt::format("{}/checkpoints/step-3: holds a run with other settings: lr (was 0.01, now "
                        "0.02)",
                        options.out));
  EXPECT_TRUE(read_tree(options.out) == before) << "a refused run changed OUT";
}

TEST(Checkpoints, DamagedNewestFallsBackToTheOneBefore) {
  const Fixture f;
  uptrain(f.into("whole"), {});
  UptrainOptions options = f.into("run");
  options.checkpoint_every = 2;
  options.keep_checkpoints = 2;
  stop_after(options, 6);  // step-4 and step-6
  EXPECT_FALSE(path_exists(options.out + "/checkpoints/step-2"));
  const std::string newest = options.out + "/checkpoints/step-6/state.safetensors";
  std::string bytes = read_file(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(newest, bytes);
  std::vector<std::string> warnings;
  TrainObserver observer;
  observer.warned = [&](const std::string& text) { warnings.push_back(text); };
  const TrainResult resumed = uptrain(options, observer);
  EXPECT_EQ(resumed.resumed_from, 4);
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0], options.out +
                             "/checkpoints/step-6: damaged, not used: state.safetensors does not "
                             "agree with its SHA-256");
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
}

TEST(Checkpoints, NoneIntactIsAnError) {
  const Fixture f;
  const UptrainOptions options = f.into("run");
  stop_after(options, 3);
  write_file(options.out + "/checkpoints/step-3/state.json", "{");
  const ErrorInfo error = expect_error("CKPT_CORRUPT", [&] { uptrain(options, {}); });
  EXPECT_EQ(error.message, options.out + "/checkpoints: none of its 1 checkpoints is intact");
}

// Files that agree with their seal may still say what no run wrote.
TEST(Checkpoints, ASealedStateThatIsNone) {
  const Fixture f;
  const UptrainOptions options = f.into("run");
  stop_after(options, 3);
  const std::string folder = options.out + "/checkpoints/step-3/";
  const Json intact = Json::parse(read_file(folder + "state.json"));
  const auto refused = [&](const Json& state) {
    const std::string text = state.dump();
    write_file(folder + "state.json", text);
    Json seal = Json::parse(read_file(folder + "checkpoint.json"));
    seal["files"]["state.json"]["sha256"] = sha256_of_text(text);
    write_file(folder + "checkpoint.json", seal.dump());
    return expect_error("CKPT_STATE", [&] { uptrain(options, {}); }).message;
  };
  for (const Json& step : {Json(9223372036854775808ULL), Json(-1), Json("NaN"), Json(4), Json()}) {
    Json state = intact;
    state["step"] = step;
    EXPECT_NE(refused(state).find("state.json"), std::string::npos) << step;
  }
  Json state = intact;
  state["format"] = "regroup-training-state/99";
  EXPECT_NE(refused(state).find("format must be"), std::string::npos);
  state = intact;
  state.erase("tokens");
  EXPECT_NE(refused(state).find("tokens"), std::string::npos);
  EXPECT_NE(refused(Json::array()).find("format must be"), std::string::npos);
}

TEST(Checkpoints, FinishedRunIsNotTrainedFurther) {
  const Fixture f;
  const UptrainOptions options = f.into("run");
  uptrain(options, {});
  const std::string before = read_tree(options.out);
  const ErrorInfo error = expect_error<ConfigError>("OUTPUT_EXISTS", [&] { uptrain(options, {}); });
  EXPECT_EQ(error.message, options.out + ": holds a finished run");
  EXPECT_TRUE(read_tree(options.out) == before);
}

TEST(Training, LossFalls) {
  for (const at::Device device : devices()) {
    SCOPED_TRACE(device.str());
    const Fixture f("fp32", device);
    UptrainOptions options = f.into("run");
    options.budget.steps = 25;
    double first = 0;
    TrainObserver observer;
    observer.started = [&](const RunFacts& facts) { first = facts.first_val_loss.value(); };
    const TrainResult result = uptrain(options, observer);
    EXPECT_LT(result.val_loss.value(), first - 0.5);
  }
}

TEST(Training, AttentionAloneLeavesOtherTensorsAlone) {
  for (const at::Device device : devices()) {
    for (const std::string precision : {"fp32", "bf16"}) {
      const Fixture f(precision, device);
      UptrainOptions options = f.into("run");
      options.train = TrainScope::kAttention;
      uptrain(options, {});
      const auto before = tensors_of(f.folder / "parent");
      const auto after = tensors_of(options.out + "/model");
      ASSERT_EQ(before.size(), after.size());
      for (const auto& [name, bytes] : before) {
        const bool attention = name.find(".self_attn.") != std::string::npos;
        EXPECT_EQ(after.at(name) != bytes, attention) << precision << " " << name;
      }
    }
  }
}

TEST(Training, MicroBatchesAndCheckpointingDoNotChangeTheLoss) {
  for (const at::Device device : devices()) {
    SCOPED_TRACE(device.str());
    const Fixture f("fp32", device);
    UptrainOptions options = f.into("plain");
    options.micro_batch_size = 0;
    const TrainResult plain = uptrain(options, {});
    options = f.into("recomputed");
    options.micro_batch_size = 0;
    options.activation_checkpointing = true;
    EXPECT_EQ(uptrain(options, {}).loss, plain.loss);  // the same operations, hence the same bits
    for (const int64_t micro : {1, 3}) {
      options = f.into(fmt::format("micro-{}", micro));
      options.micro_batch_size = micro;
      EXPECT_NEAR(uptrain(options, {}).loss, plain.loss, 1e-4) << micro;
    }
  }
}

TEST(Training, RefusedDataLeavesNothing) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  options.seq_len = 128;
  TokenFileWriter writer(f.folder / "short.bin", 64);
  writer.add(std::vector<int32_t>(128, 1));
  writer.finish();
  options.data = {f.folder / "short.bin"};
  options.valid = "";
  const ErrorInfo error = expect_error("TEXT_TOO_SHORT", [&] { uptrain(options, {}); });
  EXPECT_EQ(error.message, (f.folder / "short.bin") +
                               ": the data must hold at least one window of `seq-len` + 1 = 129 "
                               "tokens, found 128");
  EXPECT_FALSE(path_exists(options.out));
}

/// SIGKILL at moments that differ from run to run of the loop; the same command goes on each time.
TEST(Killed, EndsInTheSameBytes) {
  using Clock = std::chrono::steady_clock;
  const Fixture f;
  const auto command = [&](const std::string& name) {
    return std::vector<std::string>{"uptrain",
                                    f.options.model,
                                    f.folder / name,
                                    "--data",
                                    f.options.data[0],
                                    "--valid",
                                    f.options.valid,
                                    "--steps",
                                    "30",
                                    "--seq-len",
                                    "16",
                                    "--batch-size",
                                    "4",
                                    "--eval-every",
                                    "7",
                                    "--lr",
                                    "1e-2",
                                    "--device",
                                    "cpu",
                                    "--threads",
                                    "1",
                                    "--checkpoint-every",
                                    "1",
                                    "--quiet"};
  };
  const auto start = Clock::now();
  const Finished golden = run_process(REGROUP_BINARY, command("golden"));
  const double whole_s = std::chrono::duration<double>(Clock::now() - start).count();
  ASSERT_EQ(golden.exit_code, 0) << golden.err;
  const std::string bytes = read_tree(f.folder / "golden/model");
  Random random(20260101);
  const std::string out = f.folder / "killed";
  const std::vector<std::string> line = command("killed");
  int64_t kills = 0;
  int64_t max_checkpoints = 0;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const pid_t child =
        start_process(REGROUP_BINARY, line, f.folder / "kill-out", f.folder / "kill-err");
    ASSERT_GT(child, 0);
    // The first part of a process is its start; most moments should lie behind it.
    const double wait_s = whole_s * (0.1 + 0.9 * random.uniform());
    std::this_thread::sleep_for(std::chrono::duration<double>(wait_s));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (WIFSIGNALED(status)) {
      ++kills;
    } else {
      ASSERT_EQ(WEXITSTATUS(status), 0) << read_file(f.folder / "kill-err");
    }
    if (path_exists(out + "/checkpoints")) ++max_checkpoints;
    if (!path_exists(out + "/model")) continue;
    EXPECT_TRUE(read_tree(out + "/model") == bytes) << "attempt " << attempt;
    EXPECT_EQ(step_lines(out), step_lines(f.folder / "golden")) << "attempt " << attempt;
    fs::remove_all(out);
  }
  EXPECT_GT(kills, 0);
  EXPECT_GT(max_checkpoints, 0);
  if (!path_exists(out + "/model")) {
    const Finished last = run_process(REGROUP_BINARY, line);
    ASSERT_EQ(last.exit_code, 0) << last.err;
  }
  EXPECT_TRUE(read_tree(out + "/model") == bytes);
  EXPECT_EQ(step_lines(out), step_lines(f.folder / "golden"));
}

}  // namespace
}  // namespace regroup::testing
