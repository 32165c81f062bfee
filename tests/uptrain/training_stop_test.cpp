// A run that ends before its budget is spent: --max-minutes, and steps that are not finite.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <thread>

#include "dataset.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/process.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

using Words = std::vector<std::string>;

/// Events of metrics.jsonl by name, in order.
std::vector<std::string> events(const std::string& out) {
  std::vector<std::string> names;
  std::istringstream text(read_file(out + "/metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    const Json object = Json::parse(line);
    if (object.contains("event")) names.push_back(object.at("event").get<std::string>());
  }
  return names;
}

// Limits far below the time of a step: each start finishes one step and stops behind it, or in its validation.
TEST(MaxMinutes, StopsBehindAFinishedStepAndGoesOnToTheSameBytes) {
  const Fixture f;
  const auto command = [&](const std::string& out, const Words& more) {
    Words words = {"uptrain",
                   f.options.model,
                   f.folder / out,
                   "--data",
                   f.options.data[0],
                   "--valid",
                   f.options.valid,
                   "--steps",
                   "5",
                   "--seq-len",
                   "16",
                   "--batch-size",
                   "4",
                   "--device",
                   "cpu",
                   "--threads",
                   "1",
                   "--quiet",
                   "--eval-every",
                   "2"};
    words.insert(words.end(), more.begin(), more.end());
    return run_process(REGROUP_BINARY, words);
  };
  ASSERT_EQ(command("whole", {}).exit_code, 0);
  const std::string out = f.folder / "limited";
  // Another limit each time: it is no setting that a resumed run must repeat.
  const char* limits[] = {"0.0000001", "0.0000002"};
  for (int64_t step = 1; step <= 2; ++step) {
    const Finished run = command("limited", {"--max-minutes", limits[step - 1]});
    EXPECT_EQ(run.exit_code, 75) << run.err;
    EXPECT_TRUE(contains(run.err, "error[STOPPED]"));
    EXPECT_TRUE(
        contains(run.err, fmt::format("stopped after --max-minutes at step {} of 5", step)));
    EXPECT_TRUE(contains(run.err, "hint: run the same command again"));
    // Step 2 is due for a validation, which is left: its line is written once that is done.
    EXPECT_EQ(step_lines(out).size(), 1u);
    for (const char* file : {"checkpoint.json", "state.json", "state.safetensors", "config.json",
                             "model.safetensors"}) {
      EXPECT_TRUE(path_exists(fmt::format("{}/checkpoints/step-{}/{}", out, step, file))) << file;
    }
    EXPECT_FALSE(path_exists(fmt::format("{}/checkpoints/step-{}.partial", out, step)));
    EXPECT_FALSE(path_exists(out + "/model"));
  }
  const Finished last = command("limited", {"--max-minutes", "1000"});
  EXPECT_EQ(last.exit_code, 0) << last.err;
  EXPECT_TRUE(read_tree(out + "/model") == read_tree(f.folder / "whole/model"));
  EXPECT_EQ(step_lines(out), step_lines(f.folder / "whole"));
}

/// Runs with a signal that comes before the first step.
void stop_at_once(const UptrainOptions& options) {
  TrainObserver observer;
  observer.started = [](const RunFacts&) { set_stop_signal(SIGTERM); };
  const ErrorInfo error =
      expect_error<StoppedError>("STOPPED", [&] { uptrain(options, observer); });
  EXPECT_NE(error.message.find("SIGTERM"), std::string::npos);
  set_stop_signal(0);
}

// A step of several micro-batches is left between them, and done again from its start.
TEST(StopSignal, GivesUpAStepBetweenItsMicroBatches) {
  const Fixture f;  // 2 micro-batches a step
  uptrain(f.into("whole"), {});
  const UptrainOptions options = f.into("stopped");
  const std::string checkpoints = options.out + "/checkpoints";
  stop_at_once(options);
  EXPECT_EQ(step_lines(options.out).size(), 0u);
  EXPECT_FALSE(path_exists(checkpoints + "/step-0"));
  stop_after(options, 2);
  stop_at_once(options);
  EXPECT_EQ(step_lines(options.out).size(), 2u);
  EXPECT_TRUE(path_exists(checkpoints + "/step-2"));
  EXPECT_FALSE(path_exists(checkpoints + "/step-3"));
  uptrain(options, {});
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
  // A step that is one micro-batch is finished.
  UptrainOptions at_once = f.into("at-once");
  at_once.micro_batch_size = at_once.batch_size;
  stop_at_once(at_once);
  EXPECT_EQ(step_lines(at_once.out).size(), 1u);
  EXPECT_TRUE(path_exists(at_once.out + "/checkpoints/step-1"));
}

// Nothing is lost before the first step: a signal that comes then does not wait for a long validation.
TEST(StopSignal, LeavesTheValidationBeforeTheFirstStep) {
  Fixture f;
  f.options.valid = f.folder / "long.bin";
  TokenFileWriter writer(f.options.valid, 64);
  writer.add(std::vector<int32_t>(200'000, 7));  // seconds of work
  writer.finish();
  const UptrainOptions options = f.into("run");
  std::thread signals([&] {  // the file of metrics is opened right before the validation
    while (!path_exists(options.out + "/metrics.jsonl")) std::this_thread::yield();
    set_stop_signal(SIGTERM);
  });
  TrainObserver observer;
  observer.started = [](const RunFacts&) { ADD_FAILURE() << "the validation was carried on"; };
  expect_error<StoppedError>("STOPPED", [&] { uptrain(options, observer); });
  signals.join();
  set_stop_signal(0);
  EXPECT_FALSE(path_exists(options.out + "/checkpoints/step-1"));
  EXPECT_TRUE(read_file(options.out + "/metrics.jsonl").find("\"start\"") == std::string::npos);
}

// The weights of the last step are kept, and what is owed is the validation alone.
TEST(MaxMinutes, LeavesTheLastValidationWithACheckpoint) {
  Fixture f;
  f.options.budget.steps = 1;
  uptrain(f.into("whole"), {});
  UptrainOptions options = f.into("late");
  options.max_minutes = 1e-9;
  expect_error<StoppedError>("STOPPED", [&] { uptrain(options, {}); });
  EXPECT_EQ(step_lines(options.out).size(), 0u);
  EXPECT_TRUE(path_exists(options.out + "/checkpoints/step-1"));
  EXPECT_FALSE(path_exists(options.out + "/model"));
  // The same limit: this start has no step to spend it on, and finishes the validation.
  const TrainResult result = uptrain(options, {});
  EXPECT_EQ(result.resumed_from, 1);
  EXPECT_TRUE(result.val_loss.has_value());
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
}

/// A model that is finite for every id but `id`. Dimension 0 of the residual belongs to that id alone:
/// nothing else writes or reads it but one neuron of the MLP, where 1e25 * 1e25 overflows. For other
/// ids the neuron's input, and hence its gradient, is exactly 0.
void write_model_with_bad_id(const std::string& folder, int64_t id) {
  const TinyModelSpec spec{.n_layers = 1, .n_kv_heads = 2};
  write_tiny_model(folder, spec);
  std::vector<TensorData> tensors = tiny_tensors(spec);
  for (TensorData& tensor : tensors) {
    const std::string& name = tensor.spec.name;
    if (tensor.spec.shape.size() != 2) continue;
    std::vector<double> values = tiny_values(spec, name, tensor.spec.shape);
    const auto columns = static_cast<size_t>(tensor.spec.shape[1]);
    const bool writes = contains(name, "o_proj") || contains(name, "down_proj");
    for (size_t i = 0; i < values.size(); ++i) {
      if (writes ? i < columns : i % columns == 0) values[i] = 0;
    }
    if (contains(name, "gate_proj") || contains(name, "up_proj")) {
      for (size_t i = 0; i < columns; ++i) values[i] = i == 0 ? 1e25 : 0;
    }
    if (contains(name, "embed_tokens")) values[static_cast<size_t>(id) * columns] = 1;
    tensor.bytes = encode_values(spec.dtype, values);
  }
  write_tensors(folder, tensors, 1);
}

/// Writes the ids of the fixture's data with 63 in the middle of some windows of 16.
void plant_id(const Fixture& f, const std::vector<int64_t>& windows) {
  std::vector<int32_t> ids;
  for (int i = 0; i < 700; ++i) ids.push_back(i * i % 13 + i % 3);
  for (const int64_t window : windows) ids[static_cast<size_t>(window * 16 + 8)] = 63;
  TokenFileWriter writer(f.folder / "train.bin", 64);
  writer.add(ids);
  writer.finish();
}

/// The data's order: which windows step `step` of the fixture sees.
std::vector<int64_t> windows_of_step(const Fixture& f, int64_t step) {
  const Dataset dataset(f.options.data, TokenFormat::kAuto, 16, 64, f.options.seed);
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < 4; ++i) windows.push_back(dataset.window_of((step - 1) * 4 + i));
  return windows;
}

TEST(NonFinite, OneStepIsSkippedAndChangesNothing) {
  Fixture f;
  f.options.valid = "";
  f.options.checkpoint_every = 1;
  f.options.keep_checkpoints = 10;
  write_model_with_bad_id(f.options.model, 63);
  plant_id(f, {windows_of_step(f, 4)[2]});
  std::vector<std::string> warnings;
  TrainObserver observer;
  observer.warned = [&](const std::string& text) { warnings.push_back(text); };
  const UptrainOptions options = f.into("run");
  const TrainResult result = uptrain(options, observer);
  EXPECT_EQ(result.skipped, 1);
  EXPECT_EQ(result.steps, 8);
  EXPECT_TRUE(std::isfinite(result.loss));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_EQ(warnings[0], "step 4: loss or gradient is not finite; skipped (samples 12..15)");
  const auto names = events(options.out);
  EXPECT_EQ(std::count(names.begin(), names.end(), "skip"), 1);
  const auto file = [&](int64_t step, const char* name) {
    return read_file(fmt::format("{}/checkpoints/step-{}/{}", options.out, step, name));
  };
  for (const char* name : {"model.safetensors", "state.safetensors"}) {
    EXPECT_FALSE(file(3, name) == file(2, name)) << name;
    EXPECT_TRUE(file(4, name) == file(3, name)) << name << " changed in the skipped step";
    EXPECT_FALSE(file(5, name) == file(4, name)) << name << " did not change behind it";
  }
  EXPECT_TRUE(contains(file(7, "state.json"), "\"skipped\": 1"));
}

// No number: null in JSON, which a resumed run reads as what it was.
TEST(NonFinite, ALastLossThatIsNoNumberIsKeptAsNone) {
  Fixture f;
  f.options.valid = "";
  write_model_with_bad_id(f.options.model, 63);
  plant_id(f, {windows_of_step(f, 1)[0], windows_of_step(f, 2)[0]});
  UptrainOptions options = f.into("run");
  stop_after(options, 2);
  EXPECT_TRUE(
      contains(read_file(options.out + "/checkpoints/step-2/state.json"), "\"last_loss\": null"));
  const TrainResult resumed = uptrain(options, {});
  EXPECT_EQ(resumed.resumed_from, 2);
  EXPECT_EQ(resumed.skipped, 2);
  EXPECT_TRUE(std::isfinite(resumed.loss));

  options = f.into("short");
  options.budget.steps = 2;
  const TrainResult result = uptrain(options, {});
  EXPECT_EQ(result.skipped, 2);
  EXPECT_FALSE(std::isfinite(result.loss)) << result.loss;
  EXPECT_FALSE(result.val_loss.has_value());
}

TEST(NonFinite, TwoInARowAreForgiven) {
  Fixture f;
  f.options.valid = "";
  write_model_with_bad_id(f.options.model, 63);
  plant_id(f, {windows_of_step(f, 2)[0], windows_of_step(f, 3)[0], windows_of_step(f, 5)[0]});
  EXPECT_EQ(uptrain(f.into("run"), {}).skipped, 3);
}

TEST(NonFinite, ThreeInARowEndTheRunAndNameTheSamples) {
  Fixture f;
  f.options.valid = "";
  write_model_with_bad_id(f.options.model, 63);
  plant_id(f, {windows_of_step(f, 2)[0], windows_of_step(f, 3)[0], windows_of_step(f, 4)[3]});
  const UptrainOptions options = f.into("run");
  const ErrorInfo error = expect_error("TRAIN_NONFINITE", [&] { uptrain(options, {}); });
  EXPECT_EQ(error.message,
            options.out +
                ": loss or gradient must be finite, but was not in 3 steps in a row, 2 to 4, on "
                "samples 4..15 of the data");
  EXPECT_EQ(error.hint, "lower `lr`, raise `warmup`, or look at the data of these samples");
  EXPECT_FALSE(path_exists(options.out + "/model"));
}

// As a user meets it: a learning rate that destroys the model in the first step.
TEST(NonFinite, AnEnormousLearningRateEndsWithExit3) {
  const Fixture f;
  const Finished run = run_process(REGROUP_BINARY, {"uptrain",
                                                    f.options.model,
                                                    f.folder / "run",
                                                    "--data",
                                                    f.options.data[0],
                                                    "--steps",
                                                    "50",
                                                    "--seq-len",
                                                    "16",
                                                    "--batch-size",
                                                    "4",
                                                    "--lr",
                                                    "1000",
                                                    "--weight-decay",
                                                    "100",
                                                    "--device",
                                                    "cpu",
                                                    "--threads",
                                                    "1",
                                                    "--quiet"});
  EXPECT_EQ(run.exit_code, 3) << run.err;
  EXPECT_TRUE(contains(run.err, "error[TRAIN_NONFINITE]"));
  EXPECT_TRUE(contains(run.err, "samples"));
  EXPECT_TRUE(contains(run.err, "hint: lower --lr"));
}

}  // namespace
}  // namespace regroup::testing
