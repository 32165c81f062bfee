// What is predicted of a merged layer is what samples show: damage, logits' spread, norms.
#include <ATen/ops/diag.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include "convert/planted_layer.h"

namespace regroup::testing {
namespace {

using at::Tensor;

const std::vector<int64_t> kDifferent = {0, 1, 2, 3, 4, 5};

/// What each head computes for the samples, [heads, samples, d].
Tensor outputs(const PlantedLayer& p, const Tensor& rows) {
  return at::matmul(p.inputs, rows.transpose(1, 2));
}

/// Keys of the samples. Where no position turns them, only what differs from the mean counts.
Tensor keys_of(const PlantedLayer& p, const AttentionWeights& w) {
  const Tensor k = outputs(p, w.k).clone();
  for (const int64_t channel : head_channels(p.config).rest) {
    k.select(2, channel).sub_(k.select(2, channel).mean(1, true));
  }
  return k;
}

/// sum_i E|x_i - D_i sum_j E_j x_j|^2 over sum_i E|x_i|^2, all groups, from the samples.
double measured(const Tensor& heads, const LayerTransform& t, bool keys, int64_t size) {
  const auto& encode = keys ? t.encode_key : t.encode_value;
  const auto& decode = keys ? t.decode_key : t.decode_value;
  const int64_t d = heads.size(2);
  double lost = 0;
  for (size_t first = 0; first < encode.size(); first += static_cast<size_t>(size)) {
    Tensor merged = at::zeros({heads.size(1), d}, at::kDouble);
    const size_t last = first + static_cast<size_t>(size);
    for (size_t i = first; i < last; ++i) {
      merged.add_(at::matmul(heads[t.permutation[i]], as_tensor(encode[i], d).t()));
    }
    merged.div_(t.divisor);
    for (size_t i = first; i < last; ++i) {
      const Tensor again = at::matmul(merged, as_tensor(decode[i], d).t());
      lost += heads[t.permutation[i]].sub(again).square().sum().item<double>();
    }
  }
  return lost / heads.square().sum().item<double>();
}

void predicted_is_measured(const PlantedLayer& p) {
  for (const std::string& name : method_names()) {
    const Method method = parse_method(name);
    if (method == Method::kRandom) continue;  // keeps nothing of the parent
    for (const int64_t groups : {1, 2, 3}) {
      SCOPED_TRACE(name + " to " + std::to_string(groups));
      const LayerDecision decision = decide(
          p, method, may_regroup(method) ? Grouping::kResidual : Grouping::kContiguous, groups);
      const double keys = measured(keys_of(p, p.weights), decision.transform, true, 6 / groups);
      const double values =
          measured(outputs(p, p.weights.v), decision.transform, false, 6 / groups);
      EXPECT_GT(keys, 0.1);
      EXPECT_NEAR(decision.key.share(), keys, 1e-9 * keys);
      EXPECT_NEAR(decision.value.share(), values, 1e-9 * values);
    }
  }
}

TEST(Damage, ThePredictedIsTheMeasuredForEveryMethod) {
  for (const int64_t rotary_dim : {6, 4, 0}) {
    SCOPED_TRACE(rotary_dim);
    predicted_is_measured(plant_layer({.source = kDifferent, .rotary_dim = rotary_dim}));
  }
}

/// Mean square of every query head's logits over all pairs of samples and, in each plane, over four
/// relative angles a quarter turn apart: then planes do not mix, as over many positions. [heads]
Tensor logit_squares(const PlantedLayer& p, const AttentionWeights& w) {
  const auto planes = [&](const Tensor& heads) {  // [heads, planes, n] complex
    return complex_planes(heads.narrow(2, 0, p.config.rotary_dim).transpose(1, 2));
  };
  const auto rest = [&](const Tensor& heads) {  // [heads, n, rest]
    return heads.narrow(2, p.config.rotary_dim, p.config.head_dim - p.config.rotary_dim);
  };
  const Tensor all_q = outputs(p, w.q);
  const Tensor all_k = keys_of(p, w).repeat_interleave(w.q.size(0) / w.k.size(0), 0);
  const Tensor q = planes(all_q);
  const Tensor k = planes(all_k);
  const Tensor unturned = at::matmul(rest(all_q), rest(all_k).transpose(1, 2));  // [heads, n, n]
  const int64_t n_planes = q.size(1);
  Tensor sum = at::zeros({q.size(0)}, at::kDouble);
  const int64_t angles = int64_t{1} << (2 * n_planes);
  const c10::complex<double> quarters[] = {{1, 0}, {0, 1}, {-1, 0}, {0, -1}};
  for (int64_t angle = 0; angle < angles; ++angle) {
    Tensor turned = q.clone();
    for (int64_t l = 0; l < n_planes; ++l) turned.select(1, l).mul_(quarters[angle >> 2 * l & 3]);
    const Tensor logits =
        at::real(at::matmul(turned.transpose(1, 2), k.conj())).add(unturned);  // [heads, n, n]
    sum.add_(logits.square().mean(at::IntArrayRef{1, 2}));
  }
  return sum.div(static_cast<double>(angles));
}

void spread_is_given_back(const PlantedLayer& p) {
  const Tensor before = logit_squares(p, p.weights);
  for (const int64_t groups : {1, 2, 3}) {
    for (const bool gain : {true, false}) {
      const LayerDecision decision = decide_layer({.n_kv_heads = groups,
                                                   .logit_gain = gain ? Gain::kOn : Gain::kOff,
                                                   .output_gain = Gain::kOff},
                                                  /*layer=*/0, p.weights, p.statistics, p.config);
      const Tensor after =
          logit_squares(p, fold_attention(p.weights, decision.transform, p.config, groups));
      for (int64_t h = 0; h < 12; ++h) {
        const int64_t old = decision.transform.permutation[static_cast<size_t>(h / 2)] * 2 + h % 2;
        const double ratio = after[h].item<double>() / before[old].item<double>();
        if (gain) {
          EXPECT_NEAR(ratio, 1.0, 1e-9) << groups << " groups, head " << h;
        } else {
          EXPECT_LT(ratio, 0.98) << groups << " groups, head " << h;
        }
      }
    }
  }
}

TEST(LogitGain, GivesTheParentsSpreadBack) {
  for (const int64_t rotary_dim : {4, 2, 0}) {
    SCOPED_TRACE(rotary_dim);
    spread_is_given_back(
        plant_layer({.source = kDifferent, .head_dim = 4, .rotary_dim = rotary_dim}));
  }
}

/// Mean square of what each query head's output projection makes of its own KV head's values, summed
/// over the two heads that read one. [kv]
Tensor written_squares(const PlantedLayer& p, const AttentionWeights& w) {
  const Tensor v =
      outputs(p, w.v).repeat_interleave(w.o.size(0) / w.v.size(0), 0);  // [heads, n, d]
  return at::matmul(v, w.o.transpose(1, 2))
      .square()
      .mean(at::IntArrayRef{1, 2})
      .view({-1, 2})
      .sum(1);
}

TEST(OutputGain, GivesTheParentsEnergyBack) {
  const PlantedLayer p = plant_layer({.source = kDifferent, .head_dim = 4});
  const Tensor before = written_squares(p, p.weights);
  for (const int64_t groups : {1, 2, 3}) {
    for (const bool gain : {true, false}) {
      const LayerDecision decision =
          decide_layer({.n_kv_heads = groups, .output_gain = gain ? Gain::kOn : Gain::kOff},
                       /*layer=*/0, p.weights, p.statistics, p.config);
      const Tensor after =
          written_squares(p, fold_attention(p.weights, decision.transform, p.config, groups));
      for (int64_t h = 0; h < 6; ++h) {
        const int64_t old = decision.transform.permutation[static_cast<size_t>(h)];
        const double ratio = after[h].item<double>() / before[old].item<double>();
        if (gain) {
          EXPECT_NEAR(ratio, 1.0, 1e-9) << groups << " groups, head " << h;
        } else {
          EXPECT_LT(ratio, 0.98) << groups << " groups, head " << h;
        }
      }
    }
  }
}

// Heads that share nothing, equally strong: their mean keeps 1 / sqrt(m) of the norm, and restoring it
// multiplies by sqrt(m).
TEST(NormFactor, IsTheRootOfTheMembersForHeadsThatShareNothing) {
  for (const int64_t m : {2, 3, 4, 7}) {
    PlantedLayer p = plant_layer({.source = std::vector<int64_t>(static_cast<size_t>(m), 0),
                                  .readers = 1,
                                  .head_dim = 2,
                                  .hidden = 2 * m});
    p.statistics.moment = at::diag(at::ones({2 * m + 1}, at::kDouble));
    const Tensor own = at::eye(2 * m, 2 * m + 1, at::kDouble).view({m, 2, 2 * m + 1});
    p.weights.k = own.clone();
    p.weights.v = own.mul(3);
    const LayerTransform plain = decide(p, Method::kAlign, Grouping::kContiguous, 1).transform;
    const LayerTransform restored =
        decide(p, Method::kAlignNorm, Grouping::kContiguous, 1).transform;
    const auto factor = [&](const HeadMatrix& a, const HeadMatrix& b) {
      return as_tensor(a, 2).norm().item<double>() / as_tensor(b, 2).norm().item<double>();
    };
    for (size_t i = 0; i < static_cast<size_t>(m); ++i) {
      const double root = std::sqrt(static_cast<double>(m));
      EXPECT_NEAR(factor(restored.encode_key[i], plain.encode_key[i]), root, 1e-9);
      EXPECT_NEAR(factor(restored.encode_value[i], plain.encode_value[i]), root, 1e-9);
    }
  }
}

}  // namespace
}  // namespace regroup::testing
