#include "head_moments.h"

#include <ATen/ops/bmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/outer.h>
#include <ATen/ops/real.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
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

Tensor rows_of(const Tensor& heads, const std::vector<int64_t>& channels) {
  return heads.index_select(1, at::tensor(channels, at::kLong));
}

/// E[k_i conj(k_j)] of every rotary plane. With k = a + ib it is
/// E[a_i a_j] + E[b_i b_j] + i (E[b_i a_j] - E[a_i b_j]): one real product, half of a complex one's work.
Tensor plane_moment(const Tensor& k, const Tensor& moment, const HeadChannels& channels) {
  const int64_t kv = k.size(0);
  const auto planes = static_cast<int64_t>(channels.real.size());
  const Tensor rows = at::stack({rows_of(k, channels.real), rows_of(k, channels.imaginary)}, 1)
                          .permute({2, 1, 0, 3})  // [planes, 2, kv, hidden + 1]
                          .flatten(1, 2)
                          .contiguous();  // [planes, 2 kv, hidden + 1]: a, then b
  const Tensor both =
      at::bmm(times_moment(rows, moment), rows.transpose(1, 2)).view({planes, 2, kv, 2, kv});
  const auto part = [&](int64_t i, int64_t j) { return both.select(3, j).select(1, i); };
  return at::complex(part(0, 0).add(part(1, 1)), part(1, 0).sub(part(0, 1)));
}

/// E[x_i x_j^T] of x_i = heads[i] (x, 1), [heads, heads, n, n].
Tensor cross_moment(const Tensor& heads, const Tensor& moment) {
  const int64_t kv = heads.size(0);
  const int64_t n = heads.size(1);
  const Tensor rows = heads.flatten(0, 1);  // [kv n, hidden + 1]
  return at::matmul(times_moment(rows, moment), rows.t())
      .view({kv, n, kv, n})
      .transpose(1, 2)
      .contiguous();
}

/// The moment of (x, 1) about its mean: the constant is gone.
Tensor centred(const Tensor& moment) {
  const int64_t last = moment.size(0) - 1;
  if (moment.dim() == 1) return at::cat({moment.narrow(0, 0, last), at::zeros({1}, at::kDouble)});
  const Tensor mean = moment.select(1, last);  // E[(x, 1)]
  return moment.sub(at::outer(mean, mean));
}

/// Sum of x [n_heads, ...] over the query heads that read each KV head, [n_kv_heads, ...].
Tensor over_readers(const Tensor& x, int64_t readers) {
  return x.unflatten(0, {-1, readers}).sum(1);
}

/// [heads, head_dim] float64 gains of heads, which may share them.
Tensor gains_of_heads(const NormWeights& norm, int64_t heads, int64_t head_dim) {
  const Tensor gains = norm.gains().to(at::kCPU, at::kDouble);
  return gains.numel() == head_dim ? gains.expand({heads, head_dim}).contiguous()
                                   : gains.view({heads, head_dim});
}

/// Heads [heads, head_dim, hidden + 1] without the mean of their channels, where QK-norm takes it away.
Tensor without_mean(const Tensor& heads, QkNorm kind) {
  return kind == QkNorm::kLayer ? heads.sub(heads.mean(1, /*keepdim=*/true)) : heads;
}

/// Root mean square that QK-norm divides by, on the mean, [heads].
Tensor sizes_of(const Tensor& heads, const Tensor& moment, QkNorm kind) {
  const Tensor energy = times_moment(heads, moment).mul(heads).sum(2).mean(1).clamp_min(0.0);
  const Tensor size =
      kind == QkNorm::kWhole ? energy.mean().expand(energy.sizes()).sqrt() : energy.sqrt();
  return size.clamp_min(1e-30);
}

/// Heads [heads, head_dim, hidden + 1] as the norm leaves them on the mean.
Tensor as_normed(const Tensor& heads, const Tensor& size, const Tensor& gains) {
  return heads.div(size.view({-1, 1, 1})).mul(gains.unsqueeze(2));
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
  if (config.attention.normalises_keys()) {
    wide.q_gain = gains_of_heads(w.query_norm, config.n_heads, d);
    wide.k_gain = gains_of_heads(w.key_norm, config.n_kv_heads, d);
  }
  return wide;
}

HeadMoments head_moments(const AttentionWeights& weights, const LayerStatistics& statistics,
                         const ModelConfig& config) {
  const Tensor& c = statistics.moment;
  const HeadChannels channels = head_channels(config);
  const int64_t readers = config.group_size();
  HeadMoments out;
  AttentionWeights w = weights;
  if (const QkNorm kind = config.attention.qk_norm; kind != QkNorm::kNone) {
    w.q = without_mean(w.q, kind);
    w.k = without_mean(w.k, kind);
    out.key_size = sizes_of(w.k, c, kind);
    w.q = as_normed(w.q, sizes_of(w.q, c, kind), w.q_gain);
    w.k = as_normed(w.k, out.key_size, w.k_gain);
  }
  out.key = plane_moment(w.k, c, channels);
  const Tensor seen = times_moment(w.q, c);          // [n_heads, head_dim, hidden + 1]
  const Tensor by_component = seen.mul(w.q).sum(2);  // [n_heads, head_dim]: E[q^2]
  out.query_energy =
      by_component.index_select(1, at::tensor(channels.real, at::kLong))
          .add(by_component.index_select(1, at::tensor(channels.imaginary, at::kLong)))
          .clamp_min(0.0);
  if (channels.rest.empty()) {
    const int64_t kv = config.n_kv_heads;
    out.key_rest = {at::zeros({kv, kv, 0, 0}, at::kDouble), at::zeros({kv, 0, 0}, at::kDouble)};
    out.query_rest = at::zeros({config.n_heads, 0, 0}, at::kDouble);
  } else {
    out.query_rest = at::matmul(rows_of(seen, channels.rest),
                                rows_of(w.q, channels.rest).transpose(1, 2));  // [H, rest, rest]
    // Softmax drops what is the same in all logits, unless one of them is a sink's.
    out.key_rest = {
        cross_moment(rows_of(w.k, channels.rest), config.attention.sinks ? c : centred(c)),
        over_readers(out.query_rest, readers)};
  }
  const Tensor by_head = at::matmul(w.o.transpose(1, 2), w.o);  // [n_heads, d, d]
  out.value = {cross_moment(w.v, c), over_readers(by_head, readers)};
  return out;
}

namespace {

/// tr(metric_i E[x_i x_i^T]), [n_kv_heads]
Tensor seen_energy(const VectorMoments& moments) {
  const Tensor own = moments.cross.diagonal(0, 0, 1).permute({2, 0, 1});  // [kv, n, n]
  return moments.metric.mul(own).sum({1, 2});
}

}  // namespace

Tensor key_energy_seen(const HeadMoments& moments, int64_t readers) {
  const Tensor own = at::real(moments.key.diagonal(0, 1, 2)).t().clamp_min(0.0);  // [kv, planes]
  return over_readers(moments.query_energy, readers)
      .mul(own)
      .sum(1)
      .add(seen_energy(moments.key_rest).mul(kRestWeight));
}

Tensor readers_energy(const HeadMoments& moments, int64_t readers) {
  return over_readers(moments.query_energy, readers)
      .sum(1)
      .add(moments.key_rest.metric.diagonal(0, 1, 2).sum(1));
}

Tensor value_energy(const HeadMoments& moments) { return seen_energy(moments.value); }

}  // namespace regroup
