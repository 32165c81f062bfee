// Quantiles over tokens with their intervals: by hand, and by drawing many texts whose truth is known.
#include "regroup/results/fidelity_curve.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

TEST(FidelityBlocks, AreConsecutiveWindowsOfOneSize) {
  EXPECT_EQ(fidelity_blocks(1), 1u);
  EXPECT_EQ(fidelity_blocks(31), 31u);
  EXPECT_EQ(fidelity_blocks(100), 32u);
  for (const int64_t windows : {1, 7, 32, 33, 100, 6400}) {
    std::vector<int64_t> held(fidelity_blocks(windows));
    size_t last = 0;
    for (int64_t w = 0; w < windows; ++w) {
      const size_t block = fidelity_block(w, windows);
      ASSERT_LT(block, held.size());
      EXPECT_TRUE(block == last || block == last + 1);
      last = block;
      ++held[block];
    }
    for (const int64_t count : held) {
      EXPECT_GE(count, windows / static_cast<int64_t>(held.size()));
      EXPECT_LE(count, windows / static_cast<int64_t>(held.size()) + 1);
    }
  }
}

// Blocks of 4 tokens of which 1, 2 and 3 are 1, the others 8. Of 12 tokens half are 1: the share below the median is 1/2 with the
// residuals -1, 0 and 1: sqrt(2 * 3 / 2) / 12 = 0.1443. Student's t of 2 degrees is 4.3027: 1/2 -+ 0.621 reaches beyond all.
TEST(QuantileEstimates, ByHand) {
  std::vector<Histogram> blocks(3);
  for (size_t b = 0; b < 3; ++b) {
    for (size_t i = 0; i < 4; ++i) blocks[b].add(i <= b ? 1 : 8);
  }
  QuantileEstimate median = quantile_estimates(blocks, {0.5})[0];
  EXPECT_NEAR(median.value, 4.5, 4.5 / 128);
  EXPECT_TRUE(std::isnan(median.low) && std::isnan(median.high) && std::isnan(median.error));
  // 16 times these blocks: 48 blocks, residuals 32 of 1, sqrt(32 * 48 / 47) / 192 = 0.02977; t of 47 degrees 2.0117: -+ 0.0599.
  std::vector<Histogram> many;
  for (int i = 0; i < 16; ++i) many.insert(many.end(), blocks.begin(), blocks.end());
  const auto found = quantile_estimates(many, {0.5, 0.46, 0.57, 0, 1});
  EXPECT_NEAR(found[0].low, 1, 1. / 128);
  EXPECT_NEAR(found[0].high, 8, 8. / 128);
  EXPECT_NEAR(found[0].error, 7 / (2 * 2.0117), 0.02);
  EXPECT_NEAR(found[1].high, 8, 8. / 128);
  EXPECT_NEAR(found[2].low, 8, 8. / 128) << "0.57 - 0.0599 is above the half";
  EXPECT_EQ(found[3].value, 1);
  EXPECT_EQ(found[4].value, 8);
  for (const size_t end : {3, 4}) {
    EXPECT_TRUE(std::isnan(found[end].low) && std::isnan(found[end].high));
    EXPECT_TRUE(std::isnan(found[end].error));
  }
}

TEST(QuantileEstimates, EqualBlocksHaveNoError) {
  std::vector<Histogram> blocks(4);
  for (Histogram& block : blocks) {
    for (int i = 0; i < 10; ++i) block.add(0);
  }
  for (const QuantileEstimate& zero : quantile_estimates(blocks, {0.001, 0.5, 0.999})) {
    EXPECT_EQ(zero.value, 0);
    EXPECT_EQ(zero.low, 0);
    EXPECT_EQ(zero.high, 0);
    EXPECT_EQ(zero.error, 0);
  }
}

TEST(QuantileEstimates, OneBlockHasNoInterval) {
  Histogram block;
  for (int i = 1; i <= 100; ++i) block.add(static_cast<float>(i));
  const QuantileEstimate median = quantile_estimates({block}, {0.5})[0];
  EXPECT_NEAR(median.value, 50.5, 0.5);
  EXPECT_TRUE(std::isnan(median.low) && std::isnan(median.error));
  block.add(std::nanf(""));
  EXPECT_TRUE(std::isnan(quantile_estimates({block, block}, {0.5})[0].value));
  EXPECT_TRUE(std::isnan(quantile_estimates({}, {0.5})[0].value));
}

// exp(normal) in windows that scatter together, as KL does; the truth is that of the sum of both scatters. Of the intervals 95 %
// must hold it: of 1,000 texts the share has a deviation of 0.7 %. As if tokens were independent, far fewer would.
TEST(QuantileEstimates, IntervalsHoldTheTruth) {
  constexpr int kTexts = 1000;
  constexpr double kBetween = 0.5;
  constexpr int kWindows = 96;
  constexpr int kTokens = 40;
  const double deviation = std::sqrt(1 + kBetween * kBetween);
  const std::vector<double> shares = {0.5, 0.9, 0.99};
  const std::vector<double> truth = {1, std::exp(1.2815515655 * deviation),
                                     std::exp(2.3263478740 * deviation)};
  Random random(5);
  std::vector<int> held(3);
  for (int text = 0; text < kTexts; ++text) {
    std::vector<Histogram> blocks(fidelity_blocks(kWindows));
    for (int w = 0; w < kWindows; ++w) {
      const double own = kBetween * random.normal();
      for (int i = 0; i < kTokens; ++i) {
        blocks[fidelity_block(w, kWindows)].add(
            static_cast<float>(std::exp(own + random.normal())));
      }
    }
    const auto found = quantile_estimates(blocks, shares);
    for (size_t s = 0; s < 3; ++s) held[s] += found[s].low <= truth[s] && truth[s] <= found[s].high;
  }
  for (size_t s = 0; s < 3; ++s) EXPECT_NEAR(held[s] / double{kTexts}, 0.95, 0.025) << shares[s];
}

std::vector<Histogram> some_blocks(float sign) {
  std::vector<Histogram> blocks(32);
  for (size_t b = 0; b < blocks.size(); ++b) {
    for (int i = 1; i <= 50; ++i) {
      blocks[b].add(sign * 0.01F * static_cast<float>(i + static_cast<int>(b % 3)));
    }
  }
  return blocks;
}

TEST(FidelityCurves, ComeBackFromJson) {
  const FidelityCurve curve = fidelity_curve(some_blocks(1), some_blocks(-1));
  const Json json = fidelity_curve_json(curve);
  EXPECT_EQ(json.at("tokens"), 1600);
  const FidelityCurve again = read_fidelity_curve(json, "x");
  EXPECT_EQ(fidelity_curve_json(again), json);
  EXPECT_EQ(again.at(again.kl, 0.5).value, curve.at(curve.kl, 0.5).value);
  EXPECT_LT(again.at(again.kl, 0.5).low, again.at(again.kl, 0.5).value);
  EXPECT_TRUE(std::isnan(again.at(again.kl, 1).high));
  EXPECT_TRUE(std::isnan(again.at(again.kl, 0.123).value));
  EXPECT_TRUE(read_fidelity_curve(Json::object(), "x").kl.empty());
}

TEST(FidelityCurves, OfTheWrongTypeAreRefused) {
  for (const char* text :
       {R"({"quantiles": 3})", R"({"quantiles": [0.5], "kl": [1, 2]})",
        R"({"quantiles": [0.5], "kl": ["1"]})", R"({"quantiles": [0.5], "kl": [1], "kl_low": []})",
        R"({"quantiles": [0.5], "tokens": -1})"}) {
    SCOPED_TRACE(text);
    try {
      read_fidelity_curve(Json::parse(text), "eval.json");
      ADD_FAILURE() << "accepted";
    } catch (const CheckpointError& error) {
      EXPECT_EQ(error.info().path, "eval.json");
    }
  }
}

}  // namespace
}  // namespace regroup::testing
