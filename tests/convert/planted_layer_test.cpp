// Every method on one layer in float64: what is hidden in its heads is found, to nine digits.
#include "convert/planted_layer.h"

#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_inv.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

namespace regroup::testing {
namespace {

using at::Tensor;

constexpr double kExact = 1e-9;
constexpr double kLossy = 1e-2;
constexpr Method kPlain[] = {Method::kMean, Method::kFirst, Method::kMedoid, Method::kWeighted};
constexpr Method kTurning[] = {Method::kAlign, Method::kAlignNorm, Method::kPca};

const std::vector<int64_t> kNeighbours = {0, 0, 0, 1, 1, 1};
const std::vector<int64_t> kScattered = {0, 1, 1, 0, 2, 1, 2, 0, 2};

/// Heads of every make: how many channels position turns, and which of them are a plane.
struct Make {
  const char* name;
  AttentionTraits attention;
  int64_t rotary_dim;
};

using Position = AttentionTraits::Position;
using Layout = AttentionTraits::Layout;
const Make kMakes[] = {
    {"all turned", {}, 6},
    {"neighbours turned", {.layout = Layout::kNeighbours}, 6},
    {"a part turned", {}, 2},
    {"most neighbours turned", {.layout = Layout::kNeighbours}, 4},
    {"none turned", {.position = Position::kNone}, 0},
    {"ALiBi", {.position = Position::kAlibi}, 0},
};

PlantedLayer plant(const Make& make, const std::vector<int64_t>& source,
                   decltype(PlantedSpec::basis) basis = PlantedSpec::kEqual) {
  return plant_layer({.source = source,
                      .basis = basis,
                      .attention = make.attention,
                      .rotary_dim = make.rotary_dim});
}

double damage(const PlantedLayer& p, Method method, Grouping grouping, int64_t n_kv_heads) {
  return layer_damage(p, decide(p, method, grouping, n_kv_heads), n_kv_heads);
}

double distance(const Tensor& a, const Tensor& b) { return a.sub(b).abs().max().item<double>(); }

void equal_heads_lose_nothing(const PlantedLayer& p) {
  for (const Method method : kPlain) {
    EXPECT_LE(damage(p, method, Grouping::kContiguous, 2), kExact) << method_name(method);
  }
  for (const Method method : kTurning) {
    SCOPED_TRACE(method_name(method));
    const LayerDecision decision = decide(p, method, Grouping::kContiguous, 2);
    EXPECT_LE(layer_damage(p, decision, 2), kExact);
    EXPECT_LE(decision.key.share(), kExact);
    EXPECT_LE(decision.value.share(), kExact);
    for (const double gain : decision.transform.logit_gain) EXPECT_NEAR(gain, 1.0, kExact);
    for (const double gain : decision.transform.output_gain) EXPECT_EQ(gain, 1.0);
    if (method == Method::kPca) continue;  // pca weighs members by their queries
    // A norm factor of 1: each member gives a third of itself.
    const Tensor third = at::eye(6, at::kDouble).div(3);
    for (size_t i = 0; i < 6; ++i) {
      EXPECT_LE(distance(as_tensor(decision.transform.encode_key[i], 6), third), kExact);
      EXPECT_LE(distance(as_tensor(decision.transform.encode_value[i], 6), third), kExact);
    }
  }
}

TEST(PlantedLayer, EqualHeadsLoseNothingAndNothingIsRestored) {
  for (const Make& make : kMakes) {
    SCOPED_TRACE(make.name);
    equal_heads_lose_nothing(plant(make, kNeighbours));
  }
}

void rotations_are_recovered(const PlantedLayer& p) {
  const HeadChannels channels = head_channels(p.config);
  for (const Method method : kTurning) {
    SCOPED_TRACE(method_name(method));
    const LayerDecision decision = decide(p, method, Grouping::kContiguous, 2);
    EXPECT_LE(layer_damage(p, decision, 2), kExact);
    for (size_t i = 0; i < 6; ++i) {
      // D_i D_0^-1 takes the first member to member i, whatever basis the merged head has.
      const auto found = [&](const std::vector<HeadMatrix>& decode) {
        return at::matmul(as_tensor(decode[i], 6), at::linalg_inv(as_tensor(decode[i / 3 * 3], 6)));
      };
      const auto member = static_cast<int64_t>(i);
      const int64_t first = member / 3 * 3;
      const Tensor keys = key_matrix(channels, p.factor[member].div(p.factor[first]),
                                     at::matmul(p.rest_turn[member], p.rest_turn[first].t()));
      const Tensor values = at::matmul(p.turn[member], p.turn[first].t());
      EXPECT_LE(distance(found(decision.transform.decode_key), keys),
                channels.rest.empty() ? 1e-8 : 1e-6)
          << i;
      EXPECT_LE(distance(found(decision.transform.decode_value), values), 1e-6) << i;
    }
  }
  for (const Method method : kPlain) {
    EXPECT_GE(damage(p, method, Grouping::kContiguous, 2), kLossy) << method_name(method);
  }
}

TEST(PlantedLayer, RotationsAreRecoveredUpToTheGroupsOwnBasis) {
  for (const Make& make : kMakes) {
    SCOPED_TRACE(make.name);
    rotations_are_recovered(plant(make, kNeighbours, PlantedSpec::kTurned));
  }
}

/// The best factors without an imaginary part: the top eigenvector of Re E[z z^H] in every plane.
KeyMerge real_pca(const HeadMoments& moments, const std::vector<int64_t>& members) {
  const Tensor index = at::tensor(members, at::kLong);
  const Tensor block = at::real(moments.key.index_select(1, index).index_select(2, index));
  const Tensor vectors = std::get<1>(at::linalg_eigh(block));
  const Tensor top = vectors.select(2, vectors.size(2) - 1).t().to(at::kComplexDouble);
  return {top, top, empty_merge(static_cast<int64_t>(members.size()))};
}

// Keys c_i k with |c_i| different in every plane and A_i k elsewhere, values A_i v with any invertible
// A_i: rank one a plane, the rank of a head otherwise.
TEST(PlantedLayer, RanksAreRecoveredByPrincipalComponentsAlone) {
  for (const Make& make : kMakes) {
    SCOPED_TRACE(make.name);
    const PlantedLayer p = plant(make, kNeighbours, PlantedSpec::kStretched);
    const LayerDecision best = decide(p, Method::kPca, Grouping::kContiguous, 2);
    EXPECT_LE(layer_damage(p, best, 2), kExact);
    EXPECT_LE(best.key.share(), kExact);
    EXPECT_LE(best.value.share(), kExact);
    for (const Method method : {Method::kAlign, Method::kAlignNorm, Method::kMean}) {
      SCOPED_TRACE(method_name(method));
      const LayerDecision decision = decide(p, method, Grouping::kContiguous, 2);
      EXPECT_GE(layer_damage(p, decision, 2), kLossy);
      EXPECT_GE(decision.key.share(), kLossy);
      EXPECT_GE(decision.value.share(), kLossy);
    }
  }
  const PlantedLayer p = plant(kMakes[0], kNeighbours, PlantedSpec::kStretched);
  const HeadMoments moments = head_moments(p.weights, p.statistics, p.config);
  EXPECT_GE(key_residual(moments, {0, 1, 2}, real_pca(moments, {0, 1, 2})).share(), kLossy);
}

/// Whether every group holds copies of one distinct head.
bool finds_partition(const PlantedLayer& p, const LayerDecision& decision) {
  const std::vector<int64_t>& order = decision.transform.permutation;
  for (size_t i = 0; i < order.size(); ++i) {
    const auto source = [&](size_t at) { return p.source[static_cast<size_t>(order[at])]; };
    if (source(i) != source(i / 3 * 3)) return false;
  }
  return true;
}

TEST(PlantedLayer, ScatteredCopiesAreFoundByEveryMethodThatGroups) {
  const auto check = [](const PlantedLayer& p, Method method) {
    for (const Grouping grouping : {Grouping::kSimilarity, Grouping::kResidual}) {
      SCOPED_TRACE(method_name(method) + " by " + grouping_name(grouping));
      const LayerDecision decision = decide(p, method, grouping, 3);
      EXPECT_TRUE(finds_partition(p, decision));
      EXPECT_LE(layer_damage(p, decision, 3), kExact);
      // Members ascend, and so do the groups' first heads.
      EXPECT_EQ(decision.transform.permutation, (std::vector<int64_t>{0, 3, 7, 1, 2, 5, 4, 6, 8}));
    }
    EXPECT_GE(damage(p, method, Grouping::kContiguous, 3), kLossy) << method_name(method);
  };
  for (const Make& make : kMakes) {
    if (make.attention.position == Position::kAlibi) continue;  // keeps its order
    SCOPED_TRACE(make.name);
    const PlantedLayer equal = plant(make, kScattered);
    const PlantedLayer turned = plant(make, kScattered, PlantedSpec::kTurned);
    for (const Method method : kPlain) check(equal, method);
    for (const Method method : kTurning) {
      check(equal, method);
      check(turned, method);
    }
  }
}

// Equal keys but for a constant that is different in every head: softmax drops it where no position turns the
// key, unless a sink's logit stands beside.
TEST(PlantedLayer, AConstantOfKeysCountsOnlyBesideASink) {
  for (const bool sinks : {false, true}) {
    PlantedLayer layer = plant_layer({.source = {0, 0, 0, 1, 1, 1},
                                      .head_dim = 10,
                                      .hidden = 96,
                                      .attention = {.sinks = sinks},
                                      .rotary_dim = 4});
    ReferenceAttention attention{layer.config};
    if (sinks) attention.sinks = random_double({12}, 33).mul(3);
    for (const Method method : {Method::kMean, Method::kAlign, Method::kPca}) {
      SCOPED_TRACE(method_name(method));
      const LayerDecision decision = decide(layer, method, Grouping::kContiguous, 2);
      const double damage = relative_error(
          attention_output(attention,
                           fold_attention(layer.weights, decision.transform, layer.config, 2),
                           layer.inputs),
          attention_output(attention, layer.weights, layer.inputs));
      if (sinks) {
        EXPECT_GE(damage, 1e-3);
        EXPECT_GE(decision.key.share(), 1e-3);
      } else {
        EXPECT_LE(damage, kExact);
        EXPECT_LE(decision.key.share(), kExact);
      }
    }
  }
}

// Two of three are equal: one of them survives, wherever the third stands.
TEST(PlantedLayer, TheMedoidIsTheHeadLikeTheOthers) {
  const PlantedLayer p = plant_layer({.source = {5, 0, 0, 1, 4, 1, 2, 2, 3}});
  const LayerTransform t = decide(p, Method::kMedoid, Grouping::kContiguous, 3).transform;
  for (const auto* encode : {&t.encode_key, &t.encode_value}) {
    for (const size_t odd : {0, 4, 8}) {
      EXPECT_TRUE((*encode)[odd].is_zero());
      const size_t group = odd / 3 * 3;
      double kept = 0;
      for (size_t i = group; i < group + 3; ++i) kept += (*encode)[i].scale;
      EXPECT_EQ(kept, 1.0);
    }
  }
}

// A head that nobody asks counts nothing among the keys, one that Wo ignores nothing among the values.
TEST(PlantedLayer, WeightsFollowUse) {
  PlantedLayer p = plant_layer({.source = {0, 1, 2, 3}, .readers = 1});
  p.weights.q[1].mul_(0.0);
  p.weights.o[2].mul_(0.0);
  const LayerTransform t = decide(p, Method::kWeighted, Grouping::kContiguous, 2).transform;
  EXPECT_EQ(t.encode_key[1].scale, 0.0);
  EXPECT_EQ(t.encode_key[0].scale, 1.0);
  EXPECT_EQ(t.encode_value[2].scale, 0.0);
  EXPECT_EQ(t.encode_value[3].scale, 1.0);
  for (const auto* encode : {&t.encode_key, &t.encode_value}) {
    EXPECT_NEAR((*encode)[0].scale + (*encode)[1].scale, 1.0, kExact);
    EXPECT_NEAR((*encode)[2].scale + (*encode)[3].scale, 1.0, kExact);
  }
}

// 14 heads of 64: pricing all groups of 7 by their own eigenproblems is beyond
// kMaxPricingWork, so the pairs decide, and find what is hidden.
TEST(WideHeads, AreGroupedByTheirPairs) {
  PlantedSpec spec{.source = {0, 1, 1, 0, 1, 0, 0, 1, 0, 1, 1, 0, 1, 0},
                   .basis = PlantedSpec::kTurned};
  spec.readers = 1;
  spec.head_dim = 64;
  spec.hidden = 72;
  spec.samples = 200;
  const PlantedLayer p = plant_layer(spec);
  EXPECT_LT(damage(p, Method::kPca, Grouping::kResidual, 2), kExact);
  EXPECT_GT(damage(p, Method::kPca, Grouping::kContiguous, 2), kLossy);
}

}  // namespace
}  // namespace regroup::testing
