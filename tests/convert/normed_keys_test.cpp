// One factor a head, by hand: what QK-norm leaves of principal components.
#include "normed_keys.h"

#include <ATen/ops/complex.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "group_prices.h"

namespace regroup::testing {
namespace {

using at::Tensor;

/// Two KV heads of one plane, each read by one query head: E[k_i k_j] = {{1, c}, {c, 1}}.
HeadMoments two_heads(double c, double first_energy, double second_energy) {
  HeadMoments moments;
  const Tensor real = at::tensor({1.0, c, c, 1.0}, at::kDouble).view({1, 2, 2});
  moments.key = at::complex(real, at::zeros({1, 2, 2}, at::kDouble));
  moments.query_energy = at::tensor({first_energy, second_energy}, at::kDouble).view({2, 1});
  moments.key_rest = {at::zeros({2, 2, 0, 0}, at::kDouble), at::zeros({2, 0, 0}, at::kDouble)};
  moments.query_rest = at::zeros({2, 0, 0}, at::kDouble);
  moments.value = {at::eye(2, at::kDouble).view({2, 2, 1, 1}),
                   at::tensor({1.0, 1.0}, at::kDouble).view({2, 1, 1})};
  moments.key_size = at::tensor({1.0, 1.0}, at::kDouble);
  return moments;
}

NormedKeys::Merge merge(const HeadMoments& moments) { return NormedKeys(moments, 1).merge({0, 1}); }

TEST(NormedKeys, EqualHeadsAreHalvedAndNothingIsLost) {
  const NormedKeys::Merge merged = merge(two_heads(1, 4, 1));
  EXPECT_NEAR(merged.factors[0], 0.5, 1e-6);
  EXPECT_NEAR(merged.factors[1], 0.5, 1e-6);
  EXPECT_NEAR(merged.lost, 0, 1e-8);
}

// R is the identity: e is as b, the readers' energies, over its length.
TEST(NormedKeys, UnrelatedHeadsEnterAsTheyAreRead) {
  const NormedKeys::Merge merged = merge(two_heads(0, 4, 1));
  EXPECT_NEAR(merged.factors[0], 4 / std::sqrt(17.0), 1e-6);
  EXPECT_NEAR(merged.factors[1], 1 / std::sqrt(17.0), 1e-6);
  // sum_i w_i (1 + 1 - 2 e_i) = 4 (2 - 2 * 4 / sqrt(17)) + (2 - 2 / sqrt(17)) = 10 - 34 / sqrt(17)
  EXPECT_NEAR(merged.lost, 10 - 34 / std::sqrt(17.0), 1e-6);
}

// R^-1 b with c = 0.6 and energies 2 and 1: b = (2.6, 2.2), R^-1 b = (2, 1); e R e = 4 + 1 + 2.4 = 7.4.
TEST(NormedKeys, FactorsAreTheEnergiesWhateverTheCorrelation) {
  const NormedKeys::Merge merged = merge(two_heads(0.6, 2, 1));
  EXPECT_NEAR(merged.factors[0], 2 / std::sqrt(7.4), 1e-6);
  EXPECT_NEAR(merged.factors[1], 1 / std::sqrt(7.4), 1e-6);
}

// No other factors of that length lose less.
TEST(NormedKeys, NothingNearIsBetter) {
  const double c = 0.3;
  const NormedKeys::Merge merged = merge(two_heads(c, 3, 1));
  const auto lost = [&](double x, double y) {
    const double size = std::sqrt(x * x + y * y + 2 * c * x * y);
    const double a = x / size;
    const double b = y / size;
    return 3 * (2 - 2 * (a + c * b)) + (2 - 2 * (c * a + b));
  };
  EXPECT_NEAR(merged.lost, lost(merged.factors[0], merged.factors[1]), 1e-6);
  for (const double step : {-0.05, 0.05}) {
    EXPECT_GT(lost(merged.factors[0] + step, merged.factors[1]), merged.lost);
  }
}

TEST(NormedKeys, AHeadThatOpposesIsLeftOut) {
  const NormedKeys::Merge merged = merge(two_heads(-0.9, 10, 0.001));
  EXPECT_NEAR(merged.factors[0], 1, 0.1);
  EXPECT_GE(merged.factors[1], 0);
}

TEST(NormedKeys, PriceGroups) {
  const HeadMoments moments = two_heads(0, 4, 1);
  EXPECT_EQ(GroupPrices(moments, 1).keys({0, 1}), merge(moments).lost);
}

}  // namespace
}  // namespace regroup::testing
