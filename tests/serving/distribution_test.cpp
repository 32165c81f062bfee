// Quantiles of samples against a sorted copy of them.
#include "distribution.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "regroup/base/uniform_stream.h"

namespace regroup {
namespace {

// Of 1, 2, 3, 4: the median lies half way between 2 and 3; place 0.99 * 3 = 2.97 is 3 + 0.97.
TEST(SpreadOf, InterpolatesBetweenNeighbours) {
  std::vector<float> samples = {4, 1, 3, 2};
  const Spread spread = spread_of(samples);
  EXPECT_DOUBLE_EQ(spread.mean, 2.5);
  EXPECT_DOUBLE_EQ(spread.std, std::sqrt(1.25));
  EXPECT_DOUBLE_EQ(spread.p50, 2.5);
  EXPECT_NEAR(spread.p99, 3.97, 1e-12);
  EXPECT_EQ(spread.max, 4);
}

TEST(SpreadOf, OfOneSampleOrNone) {
  std::vector<float> one = {7};
  const Spread spread = spread_of(one);
  for (const double value : {spread.mean, spread.p50, spread.p99, spread.max}) EXPECT_EQ(value, 7);
  EXPECT_EQ(spread.std, 0);
  std::vector<float> none;
  EXPECT_EQ(spread_of(none).max, 0);
}

TEST(SpreadOf, IsThatOfSortedSamples) {
  UniformStream uniform(3, "samples");
  for (const size_t n : {2U, 3U, 100U, 101U, 10'000U}) {
    std::vector<float> samples;
    for (size_t i = 0; i < n; ++i)
      samples.push_back(static_cast<float>(std::floor(50 * uniform.next())));
    std::vector<float> sorted = samples;
    std::sort(sorted.begin(), sorted.end());
    const auto at = [&](double share) {
      const double place = share * static_cast<double>(n - 1);
      const auto low = static_cast<size_t>(place);
      const size_t high = std::min(low + 1, n - 1);
      return static_cast<double>(sorted[low]) +
             (place - std::floor(place)) * static_cast<double>(sorted[high] - sorted[low]);
    };
    const Spread spread = spread_of(samples);
    EXPECT_DOUBLE_EQ(spread.p50, at(0.5)) << n;
    EXPECT_DOUBLE_EQ(spread.p99, at(0.99)) << n;
    EXPECT_EQ(spread.max, static_cast<double>(sorted.back())) << n;
  }
}

}  // namespace
}  // namespace regroup
