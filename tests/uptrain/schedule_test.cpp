#include "regroup/uptrain/schedule.h"

#include <gtest/gtest.h>

#include "regroup/base/error.h"
#include "regroup/uptrain/options.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

Schedule schedule(ScheduleKind kind) {
  return {.kind = kind, .peak = 1.0, .floor = 0.2, .warmup_steps = 4, .steps = 12};
}

// 4 of 12 steps warm up: 0.25, 0.5, 0.75, 1. The other 8 go from just below the peak to the floor.
TEST(Schedule, WarmUpIsTheSameForAll) {
  for (const ScheduleKind kind : {ScheduleKind::kConstant, ScheduleKind::kLinear,
                                  ScheduleKind::kCosine, ScheduleKind::kWsd}) {
    for (int64_t step = 1; step <= 4; ++step) {
      EXPECT_DOUBLE_EQ(schedule(kind).learning_rate(step), 0.25 * static_cast<double>(step));
    }
  }
}

TEST(Schedule, ByHand) {
  const Schedule constant = schedule(ScheduleKind::kConstant);
  EXPECT_EQ(constant.learning_rate(5), 1.0);
  EXPECT_EQ(constant.learning_rate(12), 1.0);
  const Schedule linear = schedule(ScheduleKind::kLinear);
  EXPECT_DOUBLE_EQ(linear.learning_rate(5), 0.9);  // 1 - 0.8 / 8
  EXPECT_DOUBLE_EQ(linear.learning_rate(8), 0.6);
  EXPECT_DOUBLE_EQ(linear.learning_rate(12), 0.2);
  const Schedule cosine = schedule(ScheduleKind::kCosine);
  EXPECT_NEAR(cosine.learning_rate(6), 0.882842712474619, 1e-15);  // 0.2 + 0.4 (1 + cos 45 deg)
  EXPECT_NEAR(cosine.learning_rate(8), 0.6, 1e-15);                // cos 90 deg
  EXPECT_NEAR(cosine.learning_rate(12), 0.2, 1e-15);
}

TEST(Schedule, WsdIsFlatAndThenFallsByTheRoot) {
  const Schedule wsd = {
      .kind = ScheduleKind::kWsd, .peak = 1.0, .floor = 0.2, .warmup_steps = 2, .steps = 20};
  for (int64_t step = 2; step <= 16; ++step) EXPECT_EQ(wsd.learning_rate(step), 1.0) << step;
  EXPECT_NEAR(wsd.learning_rate(17), 0.6, 1e-12);  // 0.2 + 0.8 (1 - sqrt(1 / 4))
  EXPECT_NEAR(wsd.learning_rate(20), 0.2, 1e-12);
}

TEST(Schedule, WithoutWarmUpAndWithNothingElse) {
  Schedule s = schedule(ScheduleKind::kLinear);
  s.warmup_steps = 0;
  EXPECT_NEAR(s.learning_rate(3), 0.8, 1e-15);  // 1 - 0.8 * 3 / 12
  s.warmup_steps = 100;                         // longer than the run: the peak is never reached
  EXPECT_DOUBLE_EQ(s.learning_rate(12), 0.12);
}

TEST(Schedule, UnknownNames) {
  EXPECT_EQ(
      expect_error<ConfigError>("FLAG_VALUE", [] { value_of<ScheduleKind>("step", "--schedule"); })
          .message,
      "--schedule must be constant, linear, cosine or wsd, found step");
  EXPECT_EQ(expect_error<ConfigError>("FLAG_VALUE", [] { value_of<TrainScope>("mlp", "--train"); })
                .message,
            "--train must be all, attention or kv, found mlp");
}

TEST(Budget, ByHand) {
  EXPECT_EQ((Budget{.steps = 7, .tokens = {}, .fraction = {}, .pretraining_tokens = {}}).resolve(9),
            7);
  const auto of_tokens = [](int64_t tokens) {
    return Budget{.steps = {}, .tokens = tokens, .fraction = {}, .pretraining_tokens = {}};
  };
  EXPECT_EQ(of_tokens(1000).resolve(100), 10);
  EXPECT_EQ(of_tokens(1049).resolve(100), 10);  // to the nearest, neither up nor down
  EXPECT_EQ(of_tokens(1051).resolve(100), 11);
  EXPECT_EQ(of_tokens(1).resolve(100), 1);  // at least one
  // 5 % of 12,288,000 are 614,400 tokens: 75 steps of 32 * 256.
  const Budget paper{.steps = {}, .tokens = {}, .fraction = 0.05, .pretraining_tokens = 12'288'000};
  EXPECT_EQ(paper.resolve(32 * 256), 75);
}

TEST(Budget, KnowsWhatWasAsked) {
  const Budget steps{.steps = 7, .tokens = {}, .fraction = {}, .pretraining_tokens = {}};
  EXPECT_EQ(steps.asked_tokens(), std::nullopt);
  const Budget tokens{.steps = {}, .tokens = 1000, .fraction = {}, .pretraining_tokens = {}};
  EXPECT_EQ(tokens.asked_tokens(), 1000);
  const Budget share{.steps = {}, .tokens = {}, .fraction = 0.05, .pretraining_tokens = 2000};
  EXPECT_DOUBLE_EQ(share.asked_tokens().value(), 100);
}

TEST(Budget, ExactlyOneMustBeGiven) {
  const auto message = [](const Budget& budget) {
    return expect_error<ConfigError>("BUDGET", [&] { budget.resolve(100); }).message;
  };
  EXPECT_EQ(message({}), "exactly one of `steps`, `tokens` and `fraction` must be given, found 0");
  EXPECT_EQ(message({.steps = 1, .tokens = 2, .fraction = 0.5, .pretraining_tokens = 1}),
            "exactly one of `steps`, `tokens` and `fraction` must be given, found 3");
  EXPECT_EQ(message({.steps = {}, .tokens = {}, .fraction = 0.5, .pretraining_tokens = {}}),
            "`fraction` needs `pretraining-tokens`, the tokens it is a share of");
}

}  // namespace
}  // namespace regroup::testing
