// What a calibration says before it starts and on its way, where its layers stop, and that a budget in
// minutes leaves no trace of the clock.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "calibration_cost.h"
#include "convert/calibration_fixture.h"
#include "regroup/base/input_file.h"
#include "regroup/base/strict_json.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

struct Heard {
  std::vector<CalibrationForecast> forecasts;
  std::vector<CalibrationStatus> statuses;

  CalibrationProgress listener() {
    return {.starts = [this](const CalibrationForecast& f) { forecasts.push_back(f); },
            .moved =
                [this](const CalibrationStatus& s) {
                  EXPECT_EQ(forecasts.size(), 1u);
                  statuses.push_back(s);
                }};
  }
};

class CalibrationProgressTest : public CalibrationTest {
 protected:
  Json arguments(const std::string& file) const {
    return read_strict_json(at(file), kManifestJson).at("arguments").at("calibration");
  }
};

TEST_F(CalibrationProgressTest, SaysWhatItTakesAndHowFarItIs) {
  prepare(kDifferentHeads);
  Heard heard;
  const ConversionPlan plan = run(options("out"), heard.listener());
  ASSERT_EQ(heard.forecasts.size(), 1u);
  const CalibrationForecast& f = heard.forecasts.front();
  EXPECT_EQ(f.windows, 128);
  EXPECT_EQ(f.held_out, 16);
  EXPECT_EQ(f.seq_len, 32);
  EXPECT_EQ(f.steps, 24);
  EXPECT_EQ(f.first_tokens, 64);
  EXPECT_EQ(f.step_tokens,
            2048 + 34);  // 58 first tokens as often as 112 windows, 64 of them a step
  EXPECT_EQ(f.n_layers, 3);
  EXPECT_GT(f.seconds, 0);
  int64_t steps = 0;
  for (const LayerReport& layer : plan.layers) steps += layer.steps;
  EXPECT_LE(plan.calibration_flops, f.flops * (1 + 1e-9));
  EXPECT_GT(plan.calibration_flops, 0.25 * f.flops);

  double last = 0;
  for (const CalibrationStatus& s : heard.statuses) {
    EXPECT_GE(s.done_s, last);
    EXPECT_LE(s.done_s, s.all_s * (1 + 1e-9));
    EXPECT_LE(s.all_s, f.seconds * (1 + 1e-9));
    last = s.done_s;
  }
  EXPECT_EQ(heard.statuses.back().done_s, heard.statuses.back().all_s);
  // Every step and every chunk is told.
  EXPECT_GT(heard.statuses.size(), static_cast<size_t>(steps));
}

TEST_F(CalibrationProgressTest, AResumedRunHasLessToDo) {
  prepare(kDifferentHeads);
  EXPECT_THROW(run(options("out"), killed_at_layer(2)), std::runtime_error);
  Heard heard;
  run(options("out"), heard.listener());
  EXPECT_LT(heard.statuses.back().all_s, heard.forecasts.front().seconds);
}

// Nothing to gain: three of eight looks end it.
TEST_F(CalibrationProgressTest, ALayerStopsWhereHeldOutWindowsGainNoMore) {
  prepare({.n_heads = 4, .n_kv_heads = 4, .distinct_kv_heads = 2});
  ConvertOptions exact = options("out");
  exact.calibration.layer_steps = 80;
  const ConversionPlan plan = run(exact);
  for (const LayerReport& layer : plan.layers) {
    EXPECT_EQ(layer.steps, 30) << layer.layer;
    EXPECT_LE(*layer.trained, 1e-9);
  }
}

TEST_F(CalibrationProgressTest, ABudgetIsKeptAsTheNumbersItCameTo) {
  prepare(kDifferentHeads);
  ConvertOptions by_time = options("by-time");
  by_time.calibration.budget = {.seconds = 5};
  EXPECT_THROW(run(by_time, killed_at_layer(1)), std::runtime_error);
  const Json decided = arguments("by-time.partial/JOB.json");
  const auto steps = decided.at("layer_steps").get<int64_t>();
  const auto tokens = decided.at("tokens").get<int64_t>();
  // Whatever this machine is measured at now, the numbers stay.
  Heard heard;
  run(by_time, heard.listener());
  EXPECT_EQ(heard.forecasts.front().steps, steps);
  EXPECT_EQ(arguments("by-time/regroup.json"), decided);
  EXPECT_EQ(InputFile(at("by-time/regroup.json")).read_all().find("budget"), std::string::npos);

  ConvertOptions by_number = options("by-number");
  by_number.calibration.tokens = tokens;
  by_number.calibration.layer_steps = steps;
  run(by_number);
  expect_same_files("by-time", "by-number");
}

// Windows are spread over 16 times the tokens that a budget came to, not over what might have been.
TEST_F(CalibrationProgressTest, ABudgetTakesTheWindowsOfItsNumbers) {
  prepare(kDifferentHeads, 40'000);
  ConvertOptions by_time = options("by-time");
  by_time.calibration.budget = {.share = 0.01, .pretraining_tokens = 100'000};
  by_time.calibration.layer_steps = 0;
  by_time.calibration.budget.spreads_steps = false;
  EXPECT_THROW(run(by_time, killed_at_layer(1)), std::runtime_error);
  ConvertOptions by_number = options("by-number");
  by_number.calibration.tokens = arguments("by-time.partial/JOB.json").at("tokens").get<int64_t>();
  EXPECT_LT(16 * by_number.calibration.tokens, 40'000);
  by_number.calibration.layer_steps = 0;
  run(by_time);
  run(by_number);
  expect_same_files("by-time", "by-number");
}

TEST_F(CalibrationProgressTest, AnotherBudgetIsAnotherRun) {
  prepare(kDifferentHeads);
  ConvertOptions five = options("out");
  five.calibration.budget = {.seconds = 5};
  EXPECT_THROW(run(five, killed_at_layer(1)), std::runtime_error);
  ConvertOptions six = options("out");
  six.calibration.budget = {.seconds = 6};
  const ErrorInfo error = expect_error<ConfigError>("CKPT_MISMATCH", [&] { run(six); });
  EXPECT_NE(error.message.find("calibration_budget"), std::string::npos) << error.message;
}

// 2,000 tokens become 62 windows of 32: what was asked for is not what is decided.
TEST_F(CalibrationProgressTest, ABudgetBesideAGivenNumberIsRecalled) {
  prepare(kDifferentHeads);
  ConvertOptions by_time = options("out");
  by_time.calibration.tokens = 2000;
  by_time.calibration.budget = {.seconds = 5, .spreads_tokens = false};
  EXPECT_THROW(run(by_time, killed_at_layer(1)), std::runtime_error);
  const std::string path = at("out.partial/JOB.json");
  Json job = Json::parse(read_file(path));
  job["arguments"]["calibration"]["layer_steps"] =
      7;  // as a clock of another day might have had it
  write_file(path, job.dump());

  ConvertOptions larger_steps = by_time;
  larger_steps.calibration.step_tokens = 512;
  expect_error<ConfigError>("CKPT_MISMATCH", [&] { run(larger_steps); });
  Heard heard;
  run(by_time, heard.listener());
  EXPECT_EQ(heard.forecasts.front().steps, 7);
}

TEST_F(CalibrationProgressTest, ABudgetTakesNoNumbersOfAnotherJob) {
  prepare(kDifferentHeads);
  ConvertOptions other = options("out");
  other.seed = 77;
  other.calibration.budget = {.seconds = 5};
  EXPECT_THROW(run(other, killed_at_layer(1)), std::runtime_error);
  const std::string path = at("out.partial/JOB.json");
  Json job = Json::parse(read_file(path));
  job["arguments"]["calibration"]["layer_steps"] = 100'003;
  write_file(path, job.dump());

  ConvertOptions ours = options("out");
  ours.calibration.budget = {.seconds = 5};
  ours.output.overwrite = true;
  Heard heard;
  run(ours, heard.listener());
  EXPECT_NE(heard.forecasts.front().steps, 100'003);
}

TEST_F(CalibrationProgressTest, AShareOfPretrainingIsNotExceeded) {
  prepare(kDifferentHeads, 16384);
  const double token = pretraining_flops(ModelFolder::open(at("in")).config());
  ConvertOptions by_share = options("out");
  by_share.calibration.budget = {.share = 0.01, .pretraining_tokens = 10'000'000};
  Heard heard;
  run(by_share, heard.listener());
  const double share = heard.forecasts.front().flops / (0.01 * 1e7 * token);
  EXPECT_LE(share, 1.0);
  EXPECT_GT(share, 0.85);  // the next stride was too far
}

}  // namespace
}  // namespace regroup::testing
