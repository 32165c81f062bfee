// Estimates and their errors: by hand, and by drawing many samples whose truth is known.
#include <gtest/gtest.h>

#include <cmath>

#include "regroup/eval/text_eval.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

TextScore score_of(const std::vector<double>& nll) {
  TextScore score;
  for (const double value : nll) score.windows.push_back({.tokens = 10, .nll = value});
  return score;
}

// 6 / 6 = 1; residuals 1 - 1, 3 - 2, 2 - 3 = 0, 1, -1; sqrt((0 + 1 + 1) 3 / 2) / 6 = 0.288675.
TEST(RatioEstimate, ByHand) {
  const Estimate estimate = ratio_estimate({1, 3, 2}, {1, 2, 3});
  EXPECT_DOUBLE_EQ(estimate.value, 1);
  EXPECT_DOUBLE_EQ(estimate.stderr_, std::sqrt(3.0) / 6);
}

// Equal denominators: the mean and its textbook error. Mean 2.5, sample variance 5/3, sqrt(5/12).
TEST(RatioEstimate, EqualWindowsGiveTheMean) {
  const Estimate estimate = ratio_estimate({10, 20, 30, 40}, {10, 10, 10, 10});
  EXPECT_DOUBLE_EQ(estimate.value, 2.5);
  EXPECT_DOUBLE_EQ(estimate.stderr_, std::sqrt(5.0 / 12));
}

TEST(RatioEstimate, OneWindowHasNoError) {
  const Estimate estimate = ratio_estimate({3}, {4});
  EXPECT_DOUBLE_EQ(estimate.value, 0.75);
  EXPECT_TRUE(std::isnan(estimate.stderr_));
}

TEST(RatioEstimate, AnExactRatioHasNoError) {
  const Estimate estimate = ratio_estimate({2, 4, 6}, {1, 2, 3});
  EXPECT_EQ(estimate.value, 2);
  EXPECT_EQ(estimate.stderr_, 0);
}

// Converted 4, 5 over baseline 1, 1: a gap of 3 + 4 = 7, of which 4 - 2 + 5 - 2 = 5 closed.
// Leaving one window out: 3/4 and 2/3; sqrt(((3/4 - 5/7)^2 + (2/3 - 5/7)^2) / 2) = 0.0421.
TEST(RecoveryEstimate, ByHand) {
  const Estimate estimate = recovery_estimate(score_of({1, 1}), score_of({4, 5}), score_of({2, 2}));
  EXPECT_DOUBLE_EQ(estimate.value, 5.0 / 7);
  const double a = 3.0 / 4 - 5.0 / 7;
  const double b = 2.0 / 3 - 5.0 / 7;
  EXPECT_NEAR(estimate.stderr_, std::sqrt((a * a + b * b) / 2), 1e-15);
}

TEST(RecoveryEstimate, Ends) {
  const TextScore base = score_of({1, 2, 1});
  const TextScore converted = score_of({4, 4, 5});
  EXPECT_EQ(recovery_estimate(base, converted, base).value, 1);
  EXPECT_EQ(recovery_estimate(base, converted, converted).value, 0);
  EXPECT_LT(recovery_estimate(base, converted, score_of({5, 5, 5})).value, 0);
  EXPECT_FALSE(std::isfinite(recovery_estimate(base, base, base).value));
}

// Windows whose losses scatter together, as those of real texts do. Of the intervals of 1.96 errors
// 95 % must hold the truth; of 2,000 intervals the share has a deviation of 0.5 %.
TEST(Estimates, IntervalsHoldTheTruth) {
  constexpr int kRuns = 2000;
  constexpr int kWindows = 60;
  constexpr double kRecovered = 0.7;
  Random random(11);
  int ratio_holds = 0;
  int recovery_holds = 0;
  for (int run = 0; run < kRuns; ++run) {
    std::vector<double> nll;
    std::vector<double> tokens;
    std::vector<double> base, converted, uptrained;
    for (int w = 0; w < kWindows; ++w) {
      const double n = 50 + 100 * random.uniform();
      tokens.push_back(n);
      nll.push_back(n * (2 + 0.3 * random.normal()));
      const double own = 100 * (1.5 + 0.4 * random.normal());  // what all three models share
      const double gap = 100 * (1.0 + 0.2 * random.normal());
      base.push_back(own);
      converted.push_back(own + gap);
      uptrained.push_back(own + (1 - kRecovered) * gap + 10 * random.normal());
    }
    const auto holds = [](const Estimate& e, double truth) {
      return std::abs(e.value - truth) <= 1.96 * e.stderr_ ? 1 : 0;
    };
    ratio_holds += holds(ratio_estimate(nll, tokens), 2);
    recovery_holds += holds(
        recovery_estimate(score_of(base), score_of(converted), score_of(uptrained)), kRecovered);
  }
  EXPECT_NEAR(ratio_holds / double{kRuns}, 0.95, 0.02);
  EXPECT_NEAR(recovery_holds / double{kRuns}, 0.95, 0.02);
}

}  // namespace
}  // namespace regroup::testing
