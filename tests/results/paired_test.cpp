// Differences on the same items, their intervals and tests. Values by hand, or printed by SciPy and R.
#include "regroup/results/paired.h"

#include <gtest/gtest.h>

#include <cmath>

namespace regroup::testing {
namespace {

/// `n` items of which the first `right` are right.
std::vector<double> first(int n, int right) {
  std::vector<double> values(static_cast<size_t>(n), 0.0);
  for (int i = 0; i < right; ++i) values[static_cast<size_t>(i)] = 1;
  return values;
}

TEST(McNemar, Exact) {
  EXPECT_NEAR(mcnemar_p(15, 5), 0.0413895, 1e-7);
  EXPECT_NEAR(mcnemar_p(5, 15), 0.0413895, 1e-7);
  EXPECT_NEAR(mcnemar_p(30, 12), 0.00791590, 1e-8);
  EXPECT_EQ(mcnemar_p(3, 3), 1);
  EXPECT_EQ(mcnemar_p(0, 0), 1);
  EXPECT_NEAR(mcnemar_p(0, 10), 2.0 / 1024, 1e-15);
}

TEST(Holm, GrowsWithTheRank) {
  const auto adjusted = holm({0.01, 0.04, 0.03, 0.005});
  EXPECT_NEAR(adjusted[0], 0.03, 1e-15);
  EXPECT_NEAR(adjusted[1], 0.06, 1e-15);  // 0.04 alone, but not below the one before it
  EXPECT_NEAR(adjusted[2], 0.06, 1e-15);
  EXPECT_NEAR(adjusted[3], 0.02, 1e-15);
  EXPECT_EQ(holm({0.9, 0.8})[0], 1);
}

TEST(Paired, RightAndWrongAnswers) {
  const auto result = paired_difference(first(100, 60), first(100, 50), true);
  EXPECT_EQ(result.items, 100);
  EXPECT_NEAR(result.delta, -0.1, 1e-15);
  EXPECT_EQ(result.broken, 10);
  EXPECT_EQ(result.mended, 0);
  EXPECT_NEAR(result.error, std::sqrt(0.09 * 100 / 99 / 100), 1e-12);
  EXPECT_NEAR(result.p, 2.0 / 1024, 1e-12);
  // Of a binomial share of 10 %: 0.05 to 0.16.
  EXPECT_NEAR(result.low, -0.16, 0.011);
  EXPECT_NEAR(result.high, -0.05, 0.011);
}

TEST(Paired, EqualModelsDoNotDiffer) {
  const auto result = paired_difference(first(50, 20), first(50, 20), true);
  EXPECT_EQ(result.delta, 0);
  EXPECT_EQ(result.error, 0);
  EXPECT_EQ(result.low, 0);
  EXPECT_EQ(result.high, 0);
  EXPECT_EQ(result.p, 1);
}

TEST(Paired, NumbersHaveTheNormalsP) {
  const auto result = paired_difference({0, 0, 0, 0}, {1, 2, 3, 2}, false);
  EXPECT_EQ(result.delta, 2);
  EXPECT_FALSE(result.broken.has_value());
  EXPECT_NEAR(result.error, std::sqrt(2.0 / 3 / 4), 1e-12);
  EXPECT_NEAR(result.p, std::erfc(2 / result.error / std::sqrt(2.0)), 1e-12);
}

TEST(Paired, TheSameSeedGivesTheSameInterval) {
  const auto a = paired_difference(first(64, 40), first(64, 30), true, {.iterations = 999});
  const auto b = paired_difference(first(64, 40), first(64, 30), true, {.iterations = 999});
  const auto c =
      paired_difference(first(64, 40), first(64, 30), true, {.iterations = 999, .seed = 1});
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
  EXPECT_NE(std::pair(a.low, a.high), std::pair(c.low, c.high));
}

TEST(Recovery, HalfOfTheGap) {
  const auto result = paired_recovery(first(200, 120), first(200, 60), first(200, 90));
  EXPECT_TRUE(result.measurable);
  EXPECT_NEAR(result.value, 0.5, 1e-12);
  EXPECT_LT(result.low, 0.5);
  EXPECT_GT(result.high, 0.5);
  EXPECT_NEAR(result.low, 0.375, 0.03);  // 1.96 * sqrt(0.25 / 60) on both sides
  EXPECT_NEAR(result.high, 0.625, 0.03);
  EXPECT_EQ(result.dropped, 0);
}

TEST(Recovery, WithoutAGapThereIsNone) {
  std::vector<double> converted = first(40, 20);
  std::swap(converted[0], converted[39]);  // one broken, one mended
  EXPECT_FALSE(paired_recovery(first(40, 20), converted, first(40, 20)).measurable);
}

TEST(SampleSize, OfAPointAtATenthOfFlips) {
  EXPECT_NEAR(static_cast<double>(items_needed(0.10, 0.01)), 7836, 10);
  EXPECT_EQ(items_needed(0, 0.01), 0);
}

}  // namespace
}  // namespace regroup::testing
