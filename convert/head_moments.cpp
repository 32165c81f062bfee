#include "head_moments.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/diag.h>
#include <ATen/ops/imag.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/real.h>
#include <ATen/ops/zeros.h>

namespace regroup {
namespace {

using at::Tensor;

/// Rows [heads * head_dim, hidden] and a bias (or none) as [heads, head_dim, hidden + 1] float64.
Tensor heads_with_bias(const Tensor& rows, const Tensor& bias, int64_t head_dim) {
  const Tensor wide = rows.to(at::kCPU, at::kDouble);
  const Tensor column = bias.defined() ? bias.to(at::kCPU, at::kDouble).unsqueeze(1)
                                       : at::zeros({wide.size(0), 1}, at::kDouble);
  return at::cat({wide, column}, 1).unflatten(0, {-1, head_dim});
}

/// rows [..., hidden + 1] times the moment, which may be given by its diagonal alone.
Tensor times_moment(const Tensor& rows, const Tensor& moment) {
  return moment.dim() == 1 ? rows.mul(moment) : at::matmul(rows, moment);
}

/// E[k_i conj(k_j)] of every rotary plane. With k = a + ib it is
/// E[a_i a_j] + E[b_i b_j] + i (E[b_i a_j] - E[a_i b_j]): one real product, half of a complex one's work.
Tensor key_moment(const Tensor& k, const Tensor& moment) {
  const int64_t kv = k.size(0);
  const int64_t planes = k.size(1) / 2;
  const Tensor rows = k.unflatten(1, {2, planes})  // [kv, 2, planes, hidden + 1]
                          .permute({2, 1, 0, 3})
                          .flatten(1, 2)
                          .contiguous();  // [planes, 2 kv, hidden + 1]: a, then b
  const Tensor both =
      at::bmm(times_moment(rows, moment), rows.transpose(1, 2)).view({planes, 2, kv, 2, kv});
  const auto part = [&](int64_t i, int64_t j) { return both.select(3, j).select(1, i); };
  return at::complex(part(0, 0).add(part(1, 1)), part(1, 0).sub(part(0, 1)));
}

}  // namespace

AttentionWeights widen_attention(const LayerWeights& w, const ModelConfig& config) {
  const int64_t d = config.head_dim;
  const auto view = [&](Role role) { return layer_view(w, config, role); };
  AttentionWeights wide;
  wide.q = heads_with_bias(view(Role::kQuery), view(Role::kQueryBias), d);
  wide.k = heads_with_bias(view(Role::kKey), view(Role::kKeyBias), d);
  wide.v = heads_with_bias(view(Role::kValue), view(Role::kValueBias), d);
  wide.o = view(Role::kOutput)
               .to(at::kCPU, at::kDouble)
               .unflatten(1, {config.n_heads, d})
               .transpose(0, 1)
               .contiguous();
  return wide;
}

Tensor plane_matrix(const Tensor& factors) {
  const Tensor a = at::diag(at::real(factors));
  const Tensor b = at::diag(at::imag(factors));
  return at::cat({at::cat({a, b.neg()}, 1), at::cat({b, a}, 1)}, 0);
}

HeadMoments head_moments(const AttentionWeights& w, const LayerStatistics& statistics,
                         const ModelConfig& config) {
  const Tensor& c = statistics.moment;
  const int64_t kv = config.n_kv_heads;
  const int64_t d = config.head_dim;
  HeadMoments out;
  out.key = key_moment(w.k, c);
  const Tensor values = w.v.flatten(0, 1);  // [kv d, hidden + 1]
  out.value = at::matmul(times_moment(values, c), values.t())
                  .view({kv, d, kv, d})
                  .transpose(1, 2)
                  .contiguous();
  const Tensor by_component = times_moment(w.q, c).mul(w.q).sum(2);  // [n_heads, head_dim]: E[q^2]
  const auto halves = by_component.chunk(2, 1);
  out.query_energy = halves[0].add(halves[1]).clamp_min(0.0);
  const Tensor by_head = at::matmul(w.o.transpose(1, 2), w.o);  // [n_heads, d, d]
  out.value_metric = by_head.view({kv, config.group_size(), d, d}).sum(1);
  return out;
}

Tensor key_energy(const HeadMoments& moments) {
  return at::real(moments.key.diagonal(0, 1, 2)).t().clamp_min(0.0);
}

Tensor readers_energy(const HeadMoments& moments, int64_t readers) {
  return moments.query_energy.unflatten(0, {-1, readers}).sum(1);
}

Tensor value_energy(const HeadMoments& moments) {
  const Tensor own = moments.value.diagonal(0, 0, 1).permute({2, 0, 1});  // [kv, d, d]
  return moments.value_metric.mul(own).sum({1, 2});
}

}  // namespace regroup
