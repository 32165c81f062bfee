// Learning rate and warm-up that were left out: what is chosen, that it is said, and that a resumed run keeps it.
#include "rate_choice.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "announcement.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "uptrain/train_tools.h"

namespace regroup::testing {
namespace {

struct Heard {
  std::vector<std::string> warnings;
  RunFacts facts;
  TrainResult result;
};

Heard run(const UptrainOptions& options) {
  Heard heard;
  TrainObserver observer;
  observer.started = [&](const RunFacts& facts) { heard.facts = facts; };
  observer.warned = [&](const std::string& text) { heard.warnings.push_back(text); };
  heard.result = uptrain(options, observer);
  return heard;
}

/// A run whose rates are left out.
UptrainOptions unrated(const Fixture& f, const std::string& name) {
  UptrainOptions options = f.into(name);
  options.learning_rate.reset();
  options.warmup_steps.reset();
  return options;
}

Json start_of(const std::string& out) {
  std::istringstream text(read_file(out + "/metrics.jsonl"));
  std::string line;
  std::getline(text, line);
  return Json::parse(line);
}

TEST(RateChoice, LessToRecoverMoreWidthAndSmallerBatchesGiveASmallerRate) {
  for (const int64_t width : {64, 256, 576, 4096}) {
    double last = 0;
    for (const double nats : {0.0, 0.005, 0.05, 0.2, 0.6, 1.5, 4.0, 20.0}) {
      const double rate = default_learning_rate(nats, {width, 8}, 4096);
      EXPECT_GE(rate, last) << nats << " " << width;
      EXPECT_GT(rate, 0);
      EXPECT_LE(default_learning_rate(nats, {2 * width, 8}, 4096), rate);
      EXPECT_LE(default_learning_rate(nats, {width, 32}, 4096), rate);
      EXPECT_LE(default_learning_rate(nats, {width, 8}, 512), rate);
      last = rate;
    }
  }
}

// 5e-4 * 0.12^0.8 * sqrt(2) = 1.30e-4; at twice the width 5e-4 * 0.05^0.8 / 2 = 2.28e-5.
TEST(RateChoice, ByHand) {
  EXPECT_DOUBLE_EQ(default_learning_rate(0.12, {256, 5}, 2048), 1e-4);
  EXPECT_DOUBLE_EQ(default_learning_rate(0.12, {256, 500}, 2048), 1e-4);  // depth limits large ones
  EXPECT_DOUBLE_EQ(default_learning_rate(0.05, {512, 5}, 1024), 2e-5);
  EXPECT_DOUBLE_EQ(default_learning_rate(1.0, {256, 5}, 16 * 1024), 2e-3);
  EXPECT_DOUBLE_EQ(default_learning_rate(9.0, {256, 2}, 1 << 30),
                   2e-3);  // never more at that width
}

// SmolLM2-135M, mean pooling and a basis: 2e-3 sqrt(5 / 30) 256 / 576 = 3.63e-4, and 5e-4 * 1.3^0.8 * sqrt(2) 256 / 576
// = 3.88e-4, which is more.
TEST(RateChoice, OfThirtyLayers) {
  EXPECT_DOUBLE_EQ(default_learning_rate(6.6, {576, 30}, 2048), 4e-4);
  EXPECT_DOUBLE_EQ(default_learning_rate(1.3, {576, 30}, 2048), 4e-4);
  EXPECT_DOUBLE_EQ(default_learning_rate(0.43, {576, 30}, 1024), 1e-4);
}

// ln(512) = 6.238; 0.42 of it is 2.620.
TEST(RateChoice, WhatIsToRecover) {
  EXPECT_EQ(nats_to_recover({.loss = 4.0, .kl = 0.3}, 512), 0.3);
  EXPECT_EQ(nats_to_recover({.loss = 4.0, .kl = -1e-9}, 512), 0);
  EXPECT_NEAR(nats_to_recover({.loss = 4.0, .kl = {}}, 512), 1.380, 1e-3);
  EXPECT_EQ(nats_to_recover({.loss = 2.65, .kl = {}}, 512), 0.07);
  EXPECT_EQ(nats_to_recover({.loss = 1.5, .kl = {}}, 512), 0.07);
}

TEST(RateChoice, WarmUp) {
  EXPECT_EQ(default_warmup(1), 0);
  EXPECT_EQ(default_warmup(6), 3);
  EXPECT_EQ(default_warmup(40), 5);
  EXPECT_EQ(default_warmup(500), 25);
  EXPECT_EQ(default_warmup(100'000), 200);
}

TEST(RateChoice, IsSaidEverywhere) {
  const Fixture f;
  const UptrainOptions options = unrated(f, "run");
  const Heard heard = run(options);
  const RunFacts& facts = heard.facts;
  EXPECT_EQ(facts.warmup_steps, 4);  // half of eight steps
  EXPECT_TRUE(facts.rates_chosen.starts_with("loss ")) << facts.rates_chosen;
  EXPECT_EQ(heard.result.learning_rate, facts.learning_rate);
  EXPECT_EQ(heard.result.rates_chosen, facts.rates_chosen);
  EXPECT_EQ(read_file(options.out + "/recipe.toml"),
            fmt::format("[uptrain]\n# chosen: {}\nlr={}\nwarmup=4\n", facts.rates_chosen,
                        facts.learning_rate));
  const Json start = start_of(options.out);
  EXPECT_EQ(start.at("lr"), facts.learning_rate);
  EXPECT_EQ(start.at("warmup"), 4);
  EXPECT_EQ(start.at("rates_chosen"), facts.rates_chosen);
}

// The teacher is the model itself: nothing is to be recovered, and the smallest rate is chosen.
TEST(RateChoice, ATeacherTellsWhatIsLost) {
  const Fixture f;
  UptrainOptions options = unrated(f, "same");
  options.teacher = options.model;
  const Heard same = run(options);
  EXPECT_TRUE(same.facts.rates_chosen.starts_with("KL from the teacher"))
      << same.facts.rates_chosen;
  EXPECT_EQ(same.facts.learning_rate, default_learning_rate(0, {32, 1}, 64));
  options = unrated(f, "other");
  write_tiny_model(f.folder / "other-parent", {.n_layers = 1, .n_kv_heads = 2, .seed = 2});
  options.teacher = f.folder / "other-parent";
  EXPECT_GT(run(options).facts.learning_rate, 3 * same.facts.learning_rate);
}

/// The fixture's model with finite weights whose products are not.
void write_model_that_overflows(const std::string& folder) {
  const TinyModelSpec spec{.n_layers = 1, .n_kv_heads = 2};
  write_tiny_model(folder, spec);
  std::vector<TensorData> tensors = tiny_tensors(spec);
  for (TensorData& tensor : tensors) {
    const std::string& name = tensor.spec.name;
    if (!name.ends_with("gate_proj.weight") && !name.ends_with("up_proj.weight")) continue;
    std::vector<double> values = tiny_values(spec, name, tensor.spec.shape);
    for (double& value : values) value *= 1e30;
    tensor.bytes = encode_values(spec.dtype, values);
  }
  write_tensors(folder, tensors, 1);
}

TEST(RateChoice, AModelThatIsNotFiniteGetsNone) {
  const Fixture f;
  UptrainOptions options = unrated(f, "run");
  options.model = options.teacher = f.folder / "bad";
  write_model_that_overflows(options.model);
  const auto refused = [&] { uptrain(options, {}); };
  const ErrorInfo error = expect_error("TRAIN_NONFINITE", refused);
  EXPECT_EQ(error.message, options.model +
                               ": the loss of this model on the first samples of the data must be "
                               "finite before a learning rate is chosen from it, found nan");
  EXPECT_TRUE(contains(error.hint, "regroup eval"));
  EXPECT_FALSE(path_exists(options.out)) << "refused before training";
  options.model = f.options.model;
  EXPECT_TRUE(contains(expect_error("TRAIN_NONFINITE", refused).message,
                       options.teacher + ": the KL from this teacher on the first"));
  // Who gives a rate hears of it behind three steps, as of any that are not finite.
  options = f.into("given");
  options.model = f.folder / "bad";
  EXPECT_TRUE(contains(expect_error("TRAIN_NONFINITE", refused).message, "3 steps in a row"));
}

TEST(RateChoice, GivenRatesStay) {
  const Fixture f;
  UptrainOptions options = unrated(f, "rate");
  options.learning_rate = 3e-3;
  const Heard given = run(options);
  EXPECT_EQ(given.facts.learning_rate, 3e-3);
  EXPECT_EQ(given.facts.warmup_steps, 0);
  EXPECT_EQ(given.facts.rates_chosen, "");
  options = unrated(f, "warmup");
  options.warmup_steps = 1;
  const Heard chosen = run(options);
  EXPECT_EQ(chosen.facts.warmup_steps, 1);
  EXPECT_NE(chosen.facts.rates_chosen, "");
}

TEST(RateChoice, AResumedRunKeepsWhatItChose) {
  const Fixture f;
  run(unrated(f, "whole"));
  UptrainOptions options = unrated(f, "run");
  stop_after(options, 3);
  const std::string recipe = read_file(options.out + "/recipe.toml");
  const Heard resumed = run(options);
  EXPECT_EQ(resumed.result.resumed_from, 3);
  EXPECT_EQ(step_lines(options.out), step_lines(f.folder / "whole"));
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));
  EXPECT_EQ(read_file(options.out + "/recipe.toml"), recipe);
}

// The resolved recipe of a run gives the rates that were chosen: the same run.
TEST(RateChoice, TheResolvedRecipeGoesOn) {
  const Fixture f;
  const Heard whole = run(unrated(f, "whole"));
  UptrainOptions options = unrated(f, "run");
  stop_after(options, 3);
  options.learning_rate = whole.facts.learning_rate;
  options.warmup_steps = whole.facts.warmup_steps;
  EXPECT_EQ(run(options).result.resumed_from, 3);
  EXPECT_TRUE(read_tree(options.out + "/model") == read_tree(f.folder / "whole/model"));

  options = unrated(f, "other");
  stop_after(options, 3);
  options.learning_rate = 10 * whole.facts.learning_rate;
  const ErrorInfo error = expect_error<ConfigError>("CKPT_MISMATCH", [&] { uptrain(options, {}); });
  EXPECT_TRUE(contains(error.message, "lr (was ")) << error.message;
}

TEST(RateWarnings, AWarmUpLongerThanTheRun) {
  const Fixture f;
  UptrainOptions options = f.into("run");
  options.budget.steps = 5;
  options.warmup_steps = 20;
  const Heard heard = run(options);
  ASSERT_EQ(heard.warnings.size(), 1u);
  EXPECT_EQ(
      heard.warnings[0],
      "`warmup` 20 exceeds the 5 steps of the run: the learning rate ends at 0.0025 and never "
      "reaches 0.01; use a `warmup` below 5");
  options = f.into("short");
  options.budget.steps = 5;
  EXPECT_TRUE(run(options).warnings.empty());
}

TEST(RateWarnings, AValidationLossThatRises) {
  const Fixture f;
  run(f.into("trained"));
  UptrainOptions options = f.into("run");
  options.model = f.folder / "trained/model";
  options.learning_rate = 1.0;
  options.warmup_steps = 0;
  options.schedule = ScheduleKind::kConstant;
  options.eval_every = 1;
  const Heard heard = run(options);
  ASSERT_EQ(heard.warnings.size(), 1u) << "once a run";
  EXPECT_TRUE(heard.warnings[0].starts_with("step 1: the validation loss ")) << heard.warnings[0];
}

// 1,000 tokens x 1e9 FLOPs take seconds, x 1e6 do not.
TEST(AnnouncePass, SaysWhatTakesSeconds) {
  std::vector<std::string> heard;
  TrainObserver observer;
  announce_pass(observer, "nobody listens", 1000, 1e9);
  observer.announced = [&](const std::string& text) { heard.push_back(text); };
  announce_pass(observer, "validating", 1000, 1e6);
  EXPECT_TRUE(heard.empty());
  announce_pass(observer, "validating", 1000, 1e9);
  EXPECT_EQ(heard, std::vector<std::string>{"validating: 1000 tokens, 1e+12 FLOPs"});
}

}  // namespace
}  // namespace regroup::testing
