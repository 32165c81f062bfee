#pragma once

#include <ATen/ops/cat.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/stack.h>

#include <cmath>

#include "attention_fold.h"
#include "convert/complex_planes.h"
#include "convert/reference_attention.h"
#include "layer_method.h"
#include "model/decoder_tools.h"

namespace regroup::testing {

/// One layer's attention in float64 with samples of its inputs. Each KV head is a distinct head brought
/// into a basis of its own.
struct PlantedLayer {
  ModelConfig config;
  AttentionWeights weights;
  LayerStatistics statistics;
  at::Tensor inputs;            ///< [samples, hidden + 1], the last column 1
  std::vector<int64_t> source;  ///< [kv]: which distinct head it is
  at::Tensor factor;            ///< [kv, planes] complex: keys are factor times the distinct head's
  at::Tensor rest_turn;         ///< [kv, rest, rest]: the same outside of planes
  at::Tensor turn;              ///< [kv, d, d]: the same for values
};

struct PlantedSpec {
  std::vector<int64_t> source;
  enum { kEqual, kTurned, kStretched } basis = kEqual;
  int64_t readers = 2;
  int64_t head_dim = 6;
  int64_t hidden = 20;
  int64_t samples = 64;
  AttentionTraits attention = {};
  int64_t rotary_dim = -1;  ///< -1: all of a head
};

inline at::Tensor random_double(const std::vector<int64_t>& shape, uint64_t seed) {
  return random_tensor(shape, seed, at::kDouble);
}

/// A random basis of n channels: an orthogonal matrix, or one that only is invertible.
inline at::Tensor random_basis(int64_t n, uint64_t seed, bool orthogonal) {
  const at::Tensor matrix = random_double({n, n}, seed);
  if (n == 0) return matrix;
  if (orthogonal) return std::get<0>(at::linalg_qr(matrix));
  return matrix.div(std::sqrt(static_cast<double>(n))).add(at::eye(n, at::kDouble));
}

inline PlantedLayer plant_layer(const PlantedSpec& spec) {
  PlantedLayer p;
  const auto kv = static_cast<int64_t>(spec.source.size());
  const int64_t d = spec.head_dim;
  p.source = spec.source;
  p.config.n_layers = 1;
  p.config.n_kv_heads = kv;
  p.config.n_heads = kv * spec.readers;
  p.config.head_dim = d;
  p.config.rotary_dim = spec.rotary_dim < 0 ? d : spec.rotary_dim;
  p.config.attention = spec.attention;
  p.config.hidden_size = spec.hidden;
  const HeadChannels channels = head_channels(p.config);
  const auto planes = static_cast<int64_t>(channels.real.size());
  const auto rest = static_cast<int64_t>(channels.rest.size());
  const int64_t columns = spec.hidden + 1;
  const at::Tensor k = random_double({kv, d, columns}, 2);
  const at::Tensor v = random_double({kv, d, columns}, 3);
  const bool equal = spec.basis == PlantedSpec::kEqual;
  const bool turned = spec.basis == PlantedSpec::kTurned;
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> factors;
  std::vector<at::Tensor> rest_turns;
  std::vector<at::Tensor> turns;
  for (int64_t i = 0; i < kv; ++i) {
    const auto seed = static_cast<uint64_t>(10 + i);
    const at::Tensor angle = random_double({planes}, seed).mul(equal ? 0 : 3);
    const at::Tensor log_size = random_double({planes}, seed + 100).mul(equal || turned ? 0 : 0.5);
    factors.push_back(at::polar(log_size.exp(), angle));
    turns.push_back(equal ? at::eye(d, at::kDouble) : random_basis(d, seed + 200, turned));
    rest_turns.push_back(equal ? at::eye(rest, at::kDouble)
                               : random_basis(rest, seed + 300, turned));
    const int64_t from = spec.source[static_cast<size_t>(i)];
    keys.push_back(at::matmul(key_matrix(channels, factors.back(), rest_turns.back()), k[from]));
    values.push_back(at::matmul(turns.back(), v[from]));
    // Where no position turns a key its constant counts nothing: heads are equal whatever it is.
    for (const int64_t channel : channels.rest) {
      keys.back()[channel][spec.hidden] = 3.0 * static_cast<double>(i - channel);
    }
  }
  p.factor = at::stack(factors);
  p.rest_turn = at::stack(rest_turns);
  p.turn = at::stack(turns);
  p.weights = {random_double({p.config.n_heads, d, columns}, 1), at::stack(keys), at::stack(values),
               random_double({p.config.n_heads, spec.hidden, d}, 4)};
  p.inputs = at::cat({random_double({spec.samples, spec.hidden}, 5).add(0.2),
                      at::ones({spec.samples, 1}, at::kDouble)},
                     1);
  p.statistics.moment = at::matmul(p.inputs.t(), p.inputs).div(static_cast<double>(spec.samples));
  return p;
}

/// A head matrix as a tensor, [d, d].
inline at::Tensor as_tensor(const HeadMatrix& matrix, int64_t d) {
  if (matrix.dense.empty()) return at::eye(d, at::kDouble).mul(matrix.scale);
  return at::from_blob(const_cast<double*>(matrix.dense.data()), {d, d}, at::kDouble).clone();
}

inline LayerDecision decide(const PlantedLayer& p, Method method, Grouping grouping,
                            int64_t n_kv_heads, uint64_t seed = 0) {
  return decide_layer({.n_kv_heads = n_kv_heads,
                       .method = method,
                       .grouping = grouping,
                       .output_gain = Gain::kOff,
                       .seed = seed},
                      /*layer=*/0, p.weights, p.statistics, p.config);
}

/// How far a decision moves the layer's output.
inline double layer_damage(const PlantedLayer& p, const LayerDecision& decision,
                           int64_t n_kv_heads) {
  return relative_error(
      attention_output({p.config},
                       fold_attention(p.weights, decision.transform, p.config, n_kv_heads),
                       p.inputs),
      attention_output({p.config}, p.weights, p.inputs));
}

}  // namespace regroup::testing
