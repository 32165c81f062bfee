// How text is cut, what calibration costs, and how a budget is spread: numbers that can be redone by hand.
#include "calibration_budget.h"

#include <gtest/gtest.h>

#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

ModelConfig llama(int64_t max_positions) {
  ModelConfig config;
  config.family = find_family("llama");
  config.n_layers = 5;
  config.n_heads = config.n_kv_heads = 8;
  config.head_dim = 32;
  config.hidden_size = 256;
  config.intermediate_size = 704;
  config.vocab_size = 512;
  config.max_positions = max_positions;
  return config;
}

WindowSizes text_sizes(const CalibrationOptions& options, int64_t seq_len, int64_t tokens) {
  return calibration_sizes(llama(8192), options, seq_len, tokens).text();
}

CalibrationOptions with_budget() {
  CalibrationOptions options;
  options.budget.seconds = 3600;
  return options;
}

/// A second a thousand tokens, a second twenty steps: the default takes 40.96 + 13.
double cost(const CalibrationSpread& s) {
  return static_cast<double>(s.tokens) / 1000 + static_cast<double>(s.steps) / 20;
}

CalibrationSpread spread(const CalibrationOptions& options, double limit,
                         int64_t available = 1 << 20, int64_t needed = 512) {
  return spread_budget(options, 256, available, needed, limit, cost);
}

TEST(CalibrationCut, WindowsAreOf512UnlessTheModelOrTheTextIsShorter) {
  const CalibrationOptions options;
  EXPECT_EQ(calibration_seq_len(llama(8192), options, 40960), 512);
  EXPECT_EQ(calibration_seq_len(llama(8192), options, 32768), 512);  // 64 windows
  EXPECT_EQ(calibration_seq_len(llama(128), options, 40960), 128);
  EXPECT_EQ(calibration_seq_len(llama(8192), options, 32767), 256);
  EXPECT_EQ(calibration_seq_len(llama(8192), options, 16383), 128);
  EXPECT_EQ(calibration_seq_len(llama(8192), options, 1000), 64);
  EXPECT_EQ(calibration_seq_len(llama(8192), {.seq_len = 2048}, 1000), 2048);
}

TEST(CalibrationCut, OneWindowInTenIsHeldOutAtLeast8To16OfEnough) {
  struct Case {
    int64_t windows, seq_len, held_out;
  };
  const Case cases[] = {{1000, 256, 100}, {160, 256, 16}, {64, 256, 16}, {64, 8, 16},  {20, 256, 5},
                        {4, 256, 1},      {2, 256, 1},    {80, 512, 8},  {40, 1024, 8}};
  for (const Case& c : cases) {
    EXPECT_EQ(held_out_windows(c.windows, c.seq_len), c.held_out) << c.windows << " " << c.seq_len;
  }
}

TEST(CalibrationCut, AStepHasSoManyTokensWhateverTheWindows) {
  const CalibrationOptions options;
  EXPECT_EQ(text_sizes(options, 256, 40960).step_windows, 8);
  EXPECT_EQ(text_sizes(options, 64, 40960).step_windows, 32);
  EXPECT_EQ(text_sizes(options, 8192, 40960).step_windows, 1);
  EXPECT_EQ(text_sizes({.layer_batch = 3}, 256, 40960).step_windows, 3);
  EXPECT_EQ(text_sizes({.step_tokens = 2048}, 256, 1024).step_windows,
            3);  // all that are not held out
}

// 6 x attention weights x tokens x 260 steps x layers, at most 2.5e13.
TEST(CalibrationCut, StepsOfLargeModelsHaveFewerTokens) {
  ModelConfig config = llama(256);  // 5 x 262,144 weights: 0.4e13 with 2,048 tokens
  EXPECT_EQ(default_step_tokens(config), 2048);
  config.n_layers = 30;  // 2.51e13
  EXPECT_EQ(default_step_tokens(config), 1024);
  config.n_layers = 29;
  EXPECT_EQ(default_step_tokens(config), 2048);
  config.n_layers = 1000;
  EXPECT_EQ(default_step_tokens(config), 512);
}

TEST(CalibrationCut, StepsOfWideModelsAreSmaller) {
  ModelConfig config = llama(256);
  EXPECT_DOUBLE_EQ(default_layer_lr(config), 0.04);
  config.hidden_size = 512;
  EXPECT_DOUBLE_EQ(default_layer_lr(config), 0.01);
}

TEST(CalibrationCut, StepsOfMoreLayersTogetherAreSmaller) {
  ModelConfig config = llama(256);
  config.n_layers = 4;
  EXPECT_DOUBLE_EQ(default_distill_lr(config), 0.0025);
  config.n_layers = 100;
  EXPECT_DOUBLE_EQ(default_distill_lr(config), 0.0005);
}

// 6 x weights x 1,024 tokens a step: 1.4e13 FLOPs pay for 549 steps of 4.1 M weights.
TEST(CalibrationCut, AllLayersAreTrainedTogetherWhereTheyAreFewEnough) {
  const CalibrationOptions options;
  ModelConfig config = llama(256);  // 5 x (4 x 256 x 256 + 3 x 256 x 704) + 512 x 256
  EXPECT_EQ(default_distill_steps(config, options), 64);
  config.vocab_size = 1 << 19;  // 138.2 M: 16.5
  EXPECT_EQ(default_distill_steps(config, options), 16);
  config.vocab_size = 1 << 20;  // 272.4 M: 8.4
  EXPECT_EQ(default_distill_steps(config, options), 8);
  config.vocab_size = 1 << 21;
  EXPECT_EQ(default_distill_steps(config, options), 0);
}

TEST(CalibrationCut, AllLayersAreTrainedTogetherOnlyAfterEachAlone) {
  const ModelConfig config = llama(256);
  EXPECT_EQ(default_distill_steps(config, {.sequential = false}), 0);
  EXPECT_EQ(default_distill_steps(config, {.layer_steps = 0}), 0);
  EXPECT_EQ(distill_steps(config, {.layer_steps = 0, .distill_steps = 5}), 5);
  EXPECT_EQ(distill_steps(config, {.distill_steps = 0}), 0);
  EXPECT_EQ(distill_steps(config, {}), 64);
}

// 5 layers x (attention 4 x 256 x 256 weights, scores 2 x 256 x 256; MLP 3 x 256 x 704) + the head 512 x 256.
TEST(CalibrationCost, PretrainingIsThreeForwardPasses) {
  const double layer = 2.0 * (4 * 256 * 256 + 256 * 256 + 3 * 256 * 704);
  EXPECT_EQ(pretraining_flops(llama(256)), 3 * (5 * layer + 2.0 * 512 * 256));
}

TEST(CalibrationCost, StagesAddUp) {
  const ModelConfig config = llama(256);
  const WindowSizes text{.windows = 10, .held_out = 2, .seq_len = 16, .step_windows = 3};
  const CalibrationSizes sizes{.sets = {text}, .steps = 7};
  ConvertOptions request{.n_kv_heads = 2};
  const CalibrationCost cost(config, request, sizes);
  EXPECT_EQ(sizes.tokens(), 160);
  EXPECT_EQ(text.train_tokens(), 128);
  EXPECT_EQ(sizes.step_tokens(), 48);
  // A converted token: q and o 256 x 256, k and v 64 x 256, scores 16 x 256; twice.
  const double converted = 2.0 * (2 * 256 * 256 + 2 * 64 * 256 + 16 * 256);
  EXPECT_EQ(cost.look(), 32 * converted);
  EXPECT_EQ(cost.step(), 3 * 48 * converted);
  EXPECT_EQ(cost.training(), 5 * 7 * cost.step());
  // Logits of both models on what is held out.
  const double quality = 32 * 2 * 2.0 * 256 * static_cast<double>(config.vocab_size);
  EXPECT_EQ(cost.quality(), quality);
  // The parent; the converted layer, of the last one what is held out; a moment; the refit and what steps aim at; twelve looks.
  const double forward = 5 * cost.parent(160, 16) + 4 * cost.converted(160, 16) +
                         cost.converted(32, 16) + 5 * cost.moment(128) + 5 * cost.refit(160, 16) +
                         5 * 160 * 2.0 * 256 * 256 + 5 * 12 * cost.look() + quality;
  EXPECT_NEAR(cost.forward(), forward, 1e-9 * forward);
  const CalibrationRates rates{.flops_per_s = forward / 3, .step_s = 0.5, .layer_s = 0.25};
  EXPECT_NEAR(cost.seconds(rates), 3 + 5 * 7 * 0.5 + 5 * 0.25, 1e-9);
}

TEST(CalibrationCost, AllLayersTogetherAreCounted) {
  const ModelConfig config = llama(256);
  const WindowSizes text{.windows = 10, .held_out = 2, .seq_len = 16, .step_windows = 3};
  ConvertOptions request{.n_kv_heads = 2};
  const CalibrationSizes sizes{.sets = {text}, .steps = 7};
  const CalibrationCost without(config, request, sizes);
  EXPECT_EQ(without.distillation(), 0);
  request.calibration.distill_steps = 26;
  const CalibrationCost cost(config, request, sizes);
  const double attention = 2.0 * (2 * 256 * 256 + 2 * 64 * 256 + 16 * 256);
  const double mlp = cost.converted(1, 16) - attention;
  const double head = 2.0 * 256 * static_cast<double>(config.vocab_size);
  // Forward and backward: attention three times, MLP and output projection twice; the parent forward.
  const double parent = cost.parent(1, 16);
  const double step = 8 * 16 * (5 * (3 * attention + 2 * mlp + parent) + 3 * head);  // all windows
  EXPECT_NEAR(cost.distill_step(), step, 1e-9 * step);
  const double look = 32 * (5 * (attention + mlp) + 2 * head);
  EXPECT_NEAR(cost.look_at_network(), look, 1e-9 * look);
  EXPECT_EQ(distill_looks(26), 2);
  EXPECT_NEAR(cost.distillation(), 26 * step + 2 * look, 1e-9 * cost.distillation());
  EXPECT_NEAR(cost.total() - without.total(), cost.distillation(), 1e-9 * cost.total());
  EXPECT_EQ(distill_looks(0), 0);
  EXPECT_EQ(distill_looks(1), 1);
  EXPECT_EQ(distill_looks(3000), 8);
}

TEST(CalibrationCost, EverySetIsCounted) {
  const ModelConfig config = llama(256);
  const WindowSizes text{.windows = 10, .held_out = 2, .seq_len = 16, .step_windows = 3};
  const WindowSizes first{
      .windows = 6, .held_out = 1, .seq_len = 1, .step_windows = 2, .share = 0.25, .text = false};
  const ConvertOptions request{.n_kv_heads = 2};
  const CalibrationCost one(config, request, {.sets = {text}, .steps = 7});
  const CalibrationCost two(config, request, {.sets = {text, first}, .steps = 7});
  const double converted = 2.0 * (2 * 256 * 256 + 2 * 64 * 256 + 1 * 256);  // one score
  EXPECT_NEAR(two.look() - one.look(), converted, 1);
  EXPECT_NEAR(two.training() - one.training(), 5 * 7 * 3 * 2 * converted, 10);
  // First tokens are no part of the moments of the converted layers' inputs.
  const double forward =
      5 * two.parent(6, 1) + 4 * two.converted(6, 1) + 5 * two.refit(6, 1) +
      5 * 6 * 2.0 * 256 * 256 + 5 * 12 * converted +
      // What the whole model does to the one held out: the last layer, logits of both.
      two.converted(1, 1) + 2 * 2.0 * 256 * static_cast<double>(config.vocab_size);
  EXPECT_NEAR(two.forward() - one.forward(), forward, 1e-9 * two.forward());
}

TEST(CalibrationBudget, WhatTheDefaultTakesBuysTheDefault) {
  const CalibrationSpread s = spread(with_budget(), 53.96);
  EXPECT_EQ(s.tokens, 40960);
  EXPECT_EQ(s.steps, 260);
}

TEST(CalibrationBudget, TokensAndStepsShrinkAndGrowTogether) {
  const CalibrationSpread half = spread(with_budget(), 53.96 / 2);
  EXPECT_EQ(half.tokens, 20480);
  EXPECT_EQ(half.steps, 130);
  const CalibrationSpread twice = spread(with_budget(), 53.96 * 2);
  EXPECT_EQ(twice.tokens, 81920);
  EXPECT_EQ(twice.steps, 520);
}

TEST(CalibrationBudget, StepsOfAllLayersShrinkAndGrowWithTheOthersUnlessTheyAreGiven) {
  CalibrationOptions options = with_budget();
  options.distill_steps = 12;
  EXPECT_EQ(spread(options, 53.96).distill_steps, 12);
  EXPECT_EQ(spread(options, 53.96 / 2).distill_steps, 6);
  EXPECT_EQ(spread(options, 53.96 * 2).distill_steps, 24);
  options.budget.spreads_distill = false;
  EXPECT_EQ(spread(options, 53.96 / 2).distill_steps, 12);
}

TEST(CalibrationBudget, WhereTheTextEndsStepsTakeTheRest) {
  const CalibrationSpread s = spread(with_budget(), 200, 20480);
  EXPECT_EQ(s.tokens, 20480);
  EXPECT_GT(s.steps, 3200);
  EXPECT_LE(cost(s), 200);
}

TEST(CalibrationBudget, WhatIsFixedStays) {
  CalibrationOptions fixed_tokens = with_budget();
  fixed_tokens.budget.spreads_tokens = false;
  EXPECT_EQ(spread(fixed_tokens, 33.5, 20480).tokens, 20480);
  EXPECT_EQ(spread(fixed_tokens, 33.5, 20480).steps, 260);
  CalibrationOptions fixed_steps = with_budget();
  fixed_steps.budget.spreads_steps = false;
  fixed_steps.layer_steps = 20;
  EXPECT_EQ(spread(fixed_steps, 41.97).steps, 20);
  EXPECT_EQ(spread(fixed_steps, 41.97).tokens, 40960);
}

// The matrices that are inverted need 30,000 tokens: fewer are not taken, steps pay for them.
TEST(CalibrationBudget, NeededTokensAreTakenFirst) {
  const CalibrationSpread s = spread(with_budget(), 35, 1 << 20, 30208);
  EXPECT_EQ(s.tokens, 30208);
  EXPECT_LE(cost(s), 35);
}

TEST(CalibrationBudget, TooLittleSaysWhatTheLeastIs) {
  const ErrorInfo error = expect_error<ConfigError>(
      "CALIBRATION_BUDGET", [] { spread(with_budget(), 10, 1 << 20, 30208); });
  EXPECT_NE(error.message.find("about 31 s, found 10 s"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace regroup::testing
