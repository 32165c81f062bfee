// Counts of numbers: what they give back of the numbers, against sorted lists.
#include "regroup/results/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

Histogram histogram_of(const std::vector<float>& numbers) {
  Histogram histogram;
  for (const float number : numbers) histogram.add(number);
  return histogram;
}

/// Linear between the two next to share * (n - 1).
double sorted_quantile(std::vector<float> numbers, double share) {
  std::sort(numbers.begin(), numbers.end());
  const double at = share * static_cast<double>(numbers.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, numbers.size() - 1);
  return numbers[below] + (at - std::floor(at)) * (numbers[above] - numbers[below]);
}

// 1 to 4: median 2.5, quarter 1.75, each end exact. A bin that begins at 2 is 2 / 128 wide.
TEST(Histogram, QuantilesByHand) {
  const Histogram histogram = histogram_of({4, 1, 3, 2});
  EXPECT_EQ(histogram.count(), 4);
  EXPECT_EQ(histogram.quantile(0), 1);
  EXPECT_EQ(histogram.quantile(1), 4);
  EXPECT_NEAR(histogram.quantile(0.5), 2.5, 2.5 / 128);
  EXPECT_NEAR(histogram.quantile(0.25), 1.75, 1.75 / 128);
  // Two numbers of one bin, which goes from 2 to 2 + 2 / 128, stand at a quarter and three quarters of it.
  const Histogram two = histogram_of({1, 2, 2.001F, 3});
  EXPECT_DOUBLE_EQ(two.quantile(1.0 / 3), 2 + 0.25 / 64);
  EXPECT_DOUBLE_EQ(two.quantile(2.0 / 3), 2 + 0.75 / 64);
  // The lowest numbers of a negative bin lie farther from 0.
  const Histogram below = histogram_of({-1, -2, -2.001F, -3});
  EXPECT_DOUBLE_EQ(below.quantile(1.0 / 3), -2 - 0.75 / 64);
  EXPECT_DOUBLE_EQ(below.quantile(2.0 / 3), -2 - 0.25 / 64);
}

TEST(Histogram, QuantilesOfManyNumbersOfAllSizes) {
  Random random(7);
  std::vector<float> numbers;
  for (int i = 0; i < 20'000; ++i) {
    const double size = std::exp(3 * random.normal() - 4);
    numbers.push_back(static_cast<float>(random.uniform() < 0.3 ? -size : size));
  }
  const Histogram histogram = histogram_of(numbers);
  for (const double share : {0.0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0}) {
    const double expected = sorted_quantile(numbers, share);
    EXPECT_NEAR(histogram.quantile(share), expected, std::abs(expected) / 128) << share;
  }
}

TEST(Histogram, OneNumber) {
  const Histogram histogram = histogram_of({0.3F});
  for (const double share : {0.0, 0.5, 1.0}) EXPECT_EQ(histogram.quantile(share), 0.3F);
}

TEST(Histogram, WhatIsRoundingIsZero) {
  const Histogram histogram = histogram_of({0, -0.0F, 1e-9F, -1e-9F});
  for (const double share : {0.0, 0.3, 1.0}) EXPECT_EQ(histogram.quantile(share), 0);
  EXPECT_FALSE(std::signbit(histogram.quantile(0)));
  EXPECT_EQ(histogram_of({0x1p-24F}).quantile(0.5), 0x1p-24F);
}

TEST(Histogram, WhatIsNoNumberLeavesNone) {
  EXPECT_TRUE(std::isnan(Histogram().quantile(0.5)));
  Histogram histogram = histogram_of({1, 2, std::nanf("")});
  EXPECT_EQ(histogram.count(), 3);
  EXPECT_TRUE(std::isnan(histogram.quantile(0.5)));
  const float infinity = std::numeric_limits<float>::infinity();
  histogram = histogram_of({1, 2, 3, infinity, infinity});
  EXPECT_NEAR(histogram.quantile(0.25), 2, 2. / 128);
  EXPECT_EQ(histogram.quantile(0.9), infinity);
  histogram = histogram_of({std::numeric_limits<float>::max(), 1, -infinity, -infinity, -1});
  EXPECT_EQ(histogram.quantile(0.25), -infinity);
  EXPECT_EQ(histogram.quantile(1), std::numeric_limits<float>::max());
}

TEST(Histogram, AddedOnesHoldWhatAllHeld) {
  const std::vector<float> a = {1, -2, 3, 0.001F};
  const std::vector<float> b = {-7, 2, 3, 0};
  std::vector<float> both = a;
  both.insert(both.end(), b.begin(), b.end());
  Histogram sum = histogram_of(a);
  sum.add(histogram_of(b));
  EXPECT_TRUE(sum == histogram_of(both));
  EXPECT_FALSE(sum == histogram_of(a));
}

// Of 1, 1, 2, 3 a half lies below 1's end; seven eighths are all but half of the 3.
TEST(Histogram, CountsWhatLiesBelowAPlace) {
  const Histogram all = histogram_of({1, 1, 2, 3});
  EXPECT_DOUBLE_EQ(all.count_below(all.place_of(0.5)), 2);
  EXPECT_DOUBLE_EQ(all.count_below(all.place_of(0.25)), 1);
  EXPECT_DOUBLE_EQ(all.count_below(all.place_of(0.875)), 3.5);
  EXPECT_DOUBLE_EQ(histogram_of({0.5F, 3, 3}).count_below(all.place_of(0.875)), 2);
  EXPECT_DOUBLE_EQ(histogram_of({-1, 0}).count_below(all.place_of(0.25)), 2);
}

TEST(Histogram, PacksWithoutLoss) {
  std::vector<Histogram> all = {histogram_of({1, -2, 0, 5e-5F, 1, 1, 1e30F}), Histogram(),
                                histogram_of({std::nanf(""), -0.125F})};
  const std::vector<uint64_t> packed = pack_histograms(all);
  EXPECT_EQ(packed.size(), 3 * 3u + 5 + 0 + 1);
  EXPECT_TRUE(unpack_histograms(packed) == all);
  EXPECT_TRUE(unpack_histograms({}).empty());
}

}  // namespace
}  // namespace regroup::testing
