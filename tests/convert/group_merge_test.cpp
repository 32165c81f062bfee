// Groupings, moments and predicted losses against direct computation in float64.
#include "group_merge.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/real.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "convert/complex_planes.h"
#include "convert/planted.h"
#include "group_prices.h"
#include "grouping.h"
#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

using at::Tensor;

/// The best sum over every partition, tried one by one.
double brute_force(std::vector<int64_t> left, int64_t size, const GroupCost& cost) {
  if (left.empty()) return 0;
  double best = std::numeric_limits<double>::infinity();
  std::vector<bool> chosen(left.size() - 1);
  std::fill(chosen.end() - (size - 1), chosen.end(), true);
  do {
    std::vector<int64_t> group = {left[0]};
    std::vector<int64_t> rest;
    for (size_t i = 0; i < chosen.size(); ++i) (chosen[i] ? group : rest).push_back(left[i + 1]);
    best = std::min(best, cost(group) + brute_force(rest, size, cost));
  } while (std::next_permutation(chosen.begin(), chosen.end()));
  return best;
}

double total_cost(const std::vector<int64_t>& order, int64_t size, const GroupCost& cost) {
  double sum = 0;
  for (size_t i = 0; i < order.size(); i += static_cast<size_t>(size)) {
    sum += cost(
        {order.begin() + static_cast<int64_t>(i), order.begin() + static_cast<int64_t>(i) + size});
  }
  return sum;
}

TEST(Grouping, ExactSearchEqualsBruteForce) {
  for (const auto& [n, size] : std::vector<std::pair<int64_t, int64_t>>{
           {2, 1}, {4, 2}, {6, 2}, {6, 3}, {8, 2}, {8, 4}, {9, 3}, {8, 8}}) {
    for (uint64_t seed = 1; seed <= 5; ++seed) {
      const Tensor s = random_tensor({n, n}, seed, at::kDouble);
      const GroupCost cost = pair_cost(s.add(s.t()));
      std::vector<int64_t> all(static_cast<size_t>(n));
      std::iota(all.begin(), all.end(), int64_t{0});
      EXPECT_NEAR(total_cost(best_grouping(n, size, cost, 0), size, cost),
                  brute_force(all, size, cost), 1e-12)
          << n << " heads, " << size << " a group";
    }
  }
}

// 24 heads: too many for the exact search; head h belongs to h mod 8.
TEST(Grouping, SwapSearchFindsAPlantedPartition) {
  Tensor s = random_tensor({24, 24}, 1, at::kDouble).mul(0.1);
  for (int64_t i = 0; i < 24; ++i) {
    for (int64_t j = 0; j < 24; ++j) {
      if (i % 8 == j % 8) s[i][j].add_(10.0);
    }
  }
  const std::vector<int64_t> order = best_grouping(24, 3, pair_cost(s.add(s.t())), 5);
  for (size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i] % 8, static_cast<int64_t>(i) / 3);  // canonical: groups by first member
  }
  EXPECT_EQ(order, best_grouping(24, 3, pair_cost(s.add(s.t())), 5));
}

/// A random layer of H 6, P 3, d 4, hidden 12 with biases, and samples of its inputs.
struct Sampled {
  ModelConfig config;
  AttentionWeights weights;
  LayerStatistics statistics;
  Tensor inputs;  // [samples, hidden + 1]
};

/// Multiples of 1/8: the accumulator's float32 products and sums of them are exact.
Tensor eighths(int64_t tokens) {
  return random_tensor({tokens, 12}, 5).mul(8).round().add(2).div(8);
}

Tensor accumulated(const Tensor& x, const std::vector<int64_t>& chunks) {
  MomentAccumulator moments(12);
  int64_t first = 0;
  for (const int64_t count : chunks) {
    moments.add(x.narrow(0, first, count));
    first += count;
  }
  EXPECT_EQ(moments.tokens(), x.size(0));
  return moments.mean();
}

Sampled sampled(int64_t rotary_dim = 4) {
  Sampled s;
  s.config.n_heads = 6;
  s.config.n_kv_heads = 3;
  s.config.head_dim = 4;
  s.config.rotary_dim = rotary_dim;
  s.config.hidden_size = 12;
  s.weights = {random_tensor({6, 4, 13}, 1, at::kDouble), random_tensor({3, 4, 13}, 2, at::kDouble),
               random_tensor({3, 4, 13}, 3, at::kDouble),
               random_tensor({6, 12, 4}, 4, at::kDouble)};
  const Tensor x = eighths(500);
  s.statistics.moment = accumulated(x, {7, 293, 200});
  s.inputs = at::cat({x.to(at::kDouble), at::ones({500, 1}, at::kDouble)}, 1);
  return s;
}

/// What each head computes for the samples, [heads, samples, head_dim].
Tensor outputs(const Sampled& s, const Tensor& weights) {
  return at::matmul(s.inputs, weights.transpose(1, 2));
}

TEST(MomentAccumulator, ChunksDoNotMatter) {
  const Tensor x = eighths(500);
  const Tensor wide = at::cat({x.to(at::kDouble), at::ones({500, 1}, at::kDouble)}, 1);
  const Tensor direct = at::matmul(wide.t(), wide).div(500);
  for (const auto& chunks : std::vector<std::vector<int64_t>>{
           {500}, {7, 293, 200}, {1, 498, 1}, std::vector<int64_t>(500, 1)}) {
    EXPECT_TRUE(at::equal(accumulated(x, chunks), direct)) << chunks.size() << " chunks";
  }
}

TEST(HeadMoments, EqualDirectOnes) {
  const Sampled s = sampled();
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const Tensor v = outputs(s, s.weights.v);
  const Tensor k = outputs(s, s.weights.k);
  const Tensor q = outputs(s, s.weights.q);
  const auto halves = k.chunk(2, 2);
  const Tensor z = at::complex(halves[0].contiguous(), halves[1].contiguous());  // [kv, n, planes]
  for (int64_t i = 0; i < 3; ++i) {
    for (int64_t j = 0; j < 3; ++j) {
      EXPECT_LE(relative_error(m.value.cross[i][j], at::matmul(v[i].t(), v[j]).div(500)), 1e-9);
      const Tensor direct = z[i].mul(z[j].conj()).mean(0);  // [planes]
      EXPECT_LE(m.key.select(1, i).select(1, j).sub(direct).abs().max().item<double>(),
                1e-9 * direct.abs().max().item<double>() + 1e-9);
    }
  }
  const Tensor energy = q.square().mean(1);  // [H, d]
  EXPECT_LE(relative_error(m.query_energy, energy.narrow(1, 0, 2).add(energy.narrow(1, 2, 2))),
            1e-9);
}

TEST(HeadMoments, ADiagonalStandsForItsMatrix) {
  Sampled s = sampled();
  s.statistics.moment = at::diag(s.statistics.moment.diagonal());
  const HeadMoments full = head_moments(s.weights, s.statistics, s.config);
  s.statistics.moment = s.statistics.moment.diagonal().contiguous();
  const HeadMoments short_form = head_moments(s.weights, s.statistics, s.config);
  EXPECT_LE(at::real(short_form.key.sub(full.key).abs().max()).item<double>(), 1e-9);
  EXPECT_LE(relative_error(short_form.value.cross, full.value.cross), 1e-12);
  EXPECT_LE(relative_error(short_form.query_energy, full.query_energy), 1e-12);
}

// Unit inputs times the norm's weight, plus its bias: E[x x^T] = diag(4, 9) + b b^T with b = (0.5, -1).
TEST(Statistics, WithoutTextFollowFromTheNorm) {
  const Tensor weight = at::tensor({2.0f, 3.0f});
  EXPECT_TRUE(weights_only_statistics({weight, {}}, 2)
                  .moment.equal(at::tensor({4.0, 9.0, 1.0}, at::kDouble)));
  const Tensor moment = weights_only_statistics({weight, at::tensor({0.5f, -1.0f})}, 2).moment;
  EXPECT_TRUE(moment.equal(
      at::tensor({4.25, -0.5, 0.5, -0.5, 10.0, -1.0, 0.5, -1.0, 1.0}, at::kDouble).view({3, 3})));
}

/// E|x_i - D_i sum_j E_j x_j|^2 from the samples, summed over the members.
double measured(const Tensor& heads, const Tensor& encode, const Tensor& decode) {
  Tensor merged = at::matmul(heads[0], encode[0].t());
  for (int64_t j = 1; j < heads.size(0); ++j)
    merged = merged.add(at::matmul(heads[j], encode[j].t()));
  double sum = 0;
  for (int64_t i = 0; i < heads.size(0); ++i) {
    sum += heads[i].sub(at::matmul(merged, decode[i].t())).square().sum().item<double>() / 500;
  }
  return sum;
}

TEST(Residual, PredictsTheMeasuredLoss) {
  const Sampled s = sampled();
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const Members everyone = {0, 1, 2};
  const Tensor k = outputs(s, s.weights.k);
  const Tensor v = outputs(s, s.weights.v);
  for (const KeyMerge& merge :
       {align_keys(m, everyone, false), align_keys(m, everyone, true), pca_keys(m, everyone, 2)}) {
    std::vector<Tensor> encode;
    std::vector<Tensor> decode;
    for (int64_t i = 0; i < 3; ++i) {
      encode.push_back(plane_matrix(merge.encode[i]));
      decode.push_back(plane_matrix(merge.decode[i]));
    }
    const double direct = measured(k, at::stack(encode), at::stack(decode));
    EXPECT_NEAR(key_residual(m, everyone, merge).lost, direct, 1e-9 * direct);
  }
  for (const VectorMerge& merge :
       {align_vectors(m.value, everyone, false), align_vectors(m.value, everyone, true),
        pca_vectors(m.value, everyone)}) {
    const double direct = measured(v, merge.encode, merge.decode);
    EXPECT_NEAR(vector_residual(m.value, everyone, merge).lost, direct, 1e-9 * direct);
  }
}

// In the metric of Wo the loss of the values' principal components is what their spectrum drops, and
// no other merge loses less.
TEST(Residual, PrincipalComponentsLoseWhatTheSpectrumDrops) {
  const Sampled s = sampled();
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const Members everyone = {0, 1, 2};
  const Tensor v = outputs(s, s.weights.v);
  const auto lost = [&](const VectorMerge& merge) {
    Tensor merged = at::matmul(v[0], merge.encode[0].t());
    for (int64_t j = 1; j < 3; ++j) merged = merged.add(at::matmul(v[j], merge.encode[j].t()));
    double sum = 0;
    for (int64_t i = 0; i < 3; ++i) {
      const Tensor gap = v[i].sub(at::matmul(merged, merge.decode[i].t()));
      sum += at::matmul(gap, m.value.metric[i]).mul(gap).sum().item<double>() / 500;
    }
    return sum;
  };
  const double best = lost(pca_vectors(m.value, everyone));
  EXPECT_NEAR(best, GroupPrices(m, 2).values(everyone), 1e-9 * best);
  EXPECT_LT(best, lost(align_vectors(m.value, everyone, false)));
  // The gauge: the first member's decoder symmetric and positive.
  const Tensor first = pca_vectors(m.value, everyone).decode[0];
  EXPECT_LE(relative_error(first, first.t()), 1e-9);
  EXPECT_GT(at::linalg_eigvalsh(first).min().item<double>(), 0.0);
}

// Keys: weighted by query energy, no complex factors lose less than the top eigenvector's.
TEST(Residual, KeysLoseLeastByTheirOwnMeasure) {
  const Sampled s = sampled();
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const Members everyone = {0, 1, 2};
  const Tensor energy = m.query_energy.unflatten(0, {3, 2}).sum(1);  // [kv, planes]
  const auto halves = outputs(s, s.weights.k).chunk(2, 2);
  const Tensor z = at::complex(halves[0].contiguous(), halves[1].contiguous());
  const auto lost = [&](const KeyMerge& merge) {
    const Tensor merged = z.mul(merge.encode.unsqueeze(1)).sum(0);  // [n, planes]
    const Tensor gap = z.sub(merged.unsqueeze(0).mul(merge.decode.unsqueeze(1)));
    return gap.abs().square().mean(1).mul(energy).sum().item<double>();
  };
  const KeyMerge best = pca_keys(m, everyone, 2);
  EXPECT_NEAR(lost(best), GroupPrices(m, 2).keys(everyone), 1e-9 * lost(best));
  EXPECT_LT(lost(best), lost(align_keys(m, everyone, false)));
  // The gauge: the first member real and positive.
  EXPECT_LE(at::imag(best.decode[0]).abs().max().item<double>(), 1e-9);
  EXPECT_GT(at::real(best.decode[0]).min().item<double>(), 0.0);
}

// Where position turns a part of a key, the other part is weighted by the queries' own second moment, and a
// logit error there counts twice that of a plane.
TEST(Residual, KeysInTwoPartsLoseWhatTheSpectraDrop) {
  const Sampled s = sampled(/*rotary_dim=*/2);
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const Members everyone = {0, 1, 2};
  const Tensor q = outputs(s, s.weights.q);  // [H, n, d]
  const Tensor k = outputs(s, s.weights.k);
  const Tensor energy = q.narrow(2, 0, 2).square().sum(2).mean(1).view({3, 2}).sum(1);  // [kv]
  const Tensor z = at::complex(k.select(2, 0).contiguous(), k.select(2, 1).contiguous());
  const Tensor q_rest = q.narrow(2, 2, 2);
  const Tensor metric =
      at::matmul(q_rest.transpose(1, 2), q_rest).div(500).view({3, 2, 2, 2}).sum(1);  // [kv, 2, 2]
  const Tensor k_rest = k.narrow(2, 2, 2).sub(k.narrow(2, 2, 2).mean(1, true));
  const auto lost = [&](const KeyMerge& merge) {
    const Tensor gap = z.sub(merge.decode.mul(z.mul(merge.encode).sum(0, true)));
    double sum = gap.abs().square().mean(1).mul(energy).sum().item<double>();
    Tensor merged = at::matmul(k_rest[0], merge.rest.encode[0].t());
    for (int64_t j = 1; j < 3; ++j) {
      merged = merged.add(at::matmul(k_rest[j], merge.rest.encode[j].t()));
    }
    for (int64_t i = 0; i < 3; ++i) {
      const Tensor e = k_rest[i].sub(at::matmul(merged, merge.rest.decode[i].t()));
      sum += 2 * at::matmul(e, metric[i]).mul(e).sum().item<double>() / 500;
    }
    return sum;
  };
  const KeyMerge best = pca_keys(m, everyone, 2);
  EXPECT_NEAR(lost(best), GroupPrices(m, 2).keys(everyone), 1e-8 * lost(best));
  EXPECT_LT(lost(best), lost(align_keys(m, everyone, false)));
}

TEST(Alignment, FirstMemberStaysAndTheOthersAreOrthogonal) {
  const Sampled s = sampled();
  const HeadMoments m = head_moments(s.weights, s.statistics, s.config);
  const VectorMerge merge = align_vectors(m.value, {0, 1, 2}, false);
  const Tensor identity = at::eye(4, at::kDouble);
  EXPECT_LE(relative_error(merge.decode[0], identity), 1e-9);
  for (int64_t i = 1; i < 3; ++i) {
    EXPECT_LE(relative_error(at::matmul(merge.decode[i], merge.decode[i].t()), identity), 1e-9);
  }
  const KeyMerge keys = align_keys(m, {0, 1, 2}, false);
  EXPECT_LE(keys.decode.abs().sub(1).abs().max().item<double>(), 1e-12);
}

}  // namespace
}  // namespace regroup::testing
