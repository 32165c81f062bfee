#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/real.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/triu.h>

#include <cmath>

#include "convert/complex_planes.h"
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
  at::Tensor turn;              ///< [kv, d, d]: the same for values
};

struct PlantedSpec {
  std::vector<int64_t> source;
  enum { kEqual, kTurned, kStretched } basis = kEqual;
  int64_t readers = 2;
  int64_t head_dim = 6;
  int64_t hidden = 20;
  int64_t samples = 64;
};

inline at::Tensor random_double(const std::vector<int64_t>& shape, uint64_t seed) {
  return random_tensor(shape, seed, at::kDouble);
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
  p.config.hidden_size = spec.hidden;
  const int64_t columns = spec.hidden + 1;
  const at::Tensor k = random_double({kv, d, columns}, 2);
  const at::Tensor v = random_double({kv, d, columns}, 3);
  std::vector<at::Tensor> keys;
  std::vector<at::Tensor> values;
  std::vector<at::Tensor> factors;
  std::vector<at::Tensor> turns;
  for (int64_t i = 0; i < kv; ++i) {
    const auto seed = static_cast<uint64_t>(10 + i);
    const at::Tensor angle = random_double({d / 2}, seed).mul(3);
    const at::Tensor log_size = random_double({d / 2}, seed + 100).mul(0.5);
    const at::Tensor matrix = random_double({d, d}, seed + 200);
    at::Tensor size = at::ones({d / 2}, at::kDouble);
    at::Tensor turn = at::eye(d, at::kDouble);
    if (spec.basis == PlantedSpec::kTurned) turn = std::get<0>(at::linalg_qr(matrix));
    if (spec.basis == PlantedSpec::kStretched) {
      turn = matrix.div(std::sqrt(static_cast<double>(d))).add(turn);
      size = log_size.exp();
    }
    factors.push_back(at::polar(size, spec.basis == PlantedSpec::kEqual ? angle.mul(0) : angle));
    turns.push_back(turn);
    const int64_t from = spec.source[static_cast<size_t>(i)];
    keys.push_back(at::matmul(plane_matrix(factors.back()), k[from]));
    values.push_back(at::matmul(turn, v[from]));
  }
  p.factor = at::stack(factors);
  p.turn = at::stack(turns);
  p.weights = {random_double({p.config.n_heads, d, columns}, 1), at::stack(keys), at::stack(values),
               random_double({p.config.n_heads, spec.hidden, d}, 4)};
  p.inputs = at::cat({random_double({spec.samples, spec.hidden}, 5).add(0.2),
                      at::ones({spec.samples, 1}, at::kDouble)},
                     1);
  p.statistics.moment = at::matmul(p.inputs.t(), p.inputs).div(static_cast<double>(spec.samples));
  return p;
}

/// What the layer adds to the residual stream when the samples are one sequence, [samples, hidden].
inline at::Tensor attention_output(const AttentionWeights& w, const at::Tensor& inputs) {
  const int64_t heads = w.q.size(0);
  const int64_t groups = w.k.size(0);
  const int64_t d = w.q.size(1);
  const int64_t n = inputs.size(0);
  const at::Tensor rates =
      at::arange(d / 2, at::kDouble).mul(-2.0 / static_cast<double>(d) * std::log(1e4)).exp();
  const at::Tensor angles = at::arange(n, at::kDouble).unsqueeze(1).mul(rates);  // [n, planes]
  const at::Tensor spin = at::polar(at::ones({n, d / 2}, at::kDouble), angles);
  const auto project_heads = [&](const at::Tensor& rows) {  // [heads, n, d]
    return at::matmul(inputs, rows.transpose(1, 2));
  };
  const auto turned = [&](const at::Tensor& rows) {  // [heads, n, planes] complex
    return complex_planes(project_heads(rows).transpose(1, 2)).transpose(1, 2).mul(spin);
  };
  const auto shared = [&](const at::Tensor& x) { return x.repeat_interleave(heads / groups, 0); };
  const at::Tensor scores =
      at::real(at::matmul(turned(w.q), shared(turned(w.k)).conj().transpose(1, 2)))
          .div(4 * std::sqrt(static_cast<double>(d * w.q.size(2))));
  const at::Tensor later = at::ones({n, n}, at::kDouble).triu(1).mul(1e30);
  const at::Tensor mixed =
      at::matmul(at::softmax(scores.sub(later), 2), shared(project_heads(w.v)));  // [heads, n, d]
  return at::matmul(mixed, w.o.transpose(1, 2)).sum(0);
}

/// A head matrix as a tensor, [d, d].
inline at::Tensor as_tensor(const HeadMatrix& matrix, int64_t d) {
  if (matrix.dense.empty()) return at::eye(d, at::kDouble).mul(matrix.scale);
  return at::from_blob(const_cast<double*>(matrix.dense.data()), {d, d}, at::kDouble).clone();
}

inline LayerDecision decide(const PlantedLayer& p, Method method, Grouping grouping,
                            int64_t n_kv_heads, uint64_t seed = 0) {
  return decide_layer(
      {.method = method, .grouping = grouping, .n_kv_heads = n_kv_heads, .seed = seed}, p.weights,
      p.statistics, p.config);
}

/// How far a decision moves the layer's output.
inline double layer_damage(const PlantedLayer& p, const LayerDecision& decision,
                           int64_t n_kv_heads) {
  return relative_error(
      attention_output(fold_attention(p.weights, decision.transform, p.config, n_kv_heads),
                       p.inputs),
      attention_output(p.weights, p.inputs));
}

}  // namespace regroup::testing
