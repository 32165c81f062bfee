#pragma once

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/real.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/triu.h>

#include <cmath>

#include "head_moments.h"

namespace regroup::testing {

/// Attention as any family computes it, in float64 and by its definition: rotary planes of either layout on
/// a part of a head or none, ALiBi, a table of relative position biases, QK-norm, clipping.
struct ReferenceAttention {
  ModelConfig config;
  at::Tensor query_gain = {};  ///< [head_dim], of QK-norm; undefined: none
  at::Tensor key_gain = {};
  at::Tensor bias = {};   ///< [n_heads, distances], of relative positions; undefined: none
  at::Tensor sinks = {};  ///< [n_heads], a logit each; undefined: none
};

namespace detail {

/// [heads, n, d], each head divided by its root mean square and multiplied by the gain.
inline at::Tensor head_norm(const at::Tensor& x, const at::Tensor& gain) {
  return gain.defined() ? x.div(x.square().mean(2, true).sqrt()).mul(gain) : x;
}

/// Queries or keys at positions 0, 1, ...: rotary planes turned, the rest as it is.
/// @return planes and rest side by side as complex numbers, [heads, n, planes + rest]
inline at::Tensor at_positions(const ModelConfig& config, const at::Tensor& x) {
  const HeadChannels channels = head_channels(config);
  const int64_t n = x.size(1);
  const auto planes = static_cast<int64_t>(channels.real.size());
  const auto pick = [&](const std::vector<int64_t>& which) {
    return x.index_select(2, at::tensor(which, at::kLong)).contiguous();
  };
  const double rate = -2.0 / static_cast<double>(std::max<int64_t>(1, 2 * planes)) * std::log(1e4);
  const at::Tensor angles =
      at::arange(n, at::kDouble).unsqueeze(1).mul(at::arange(planes, at::kDouble).mul(rate).exp());
  const at::Tensor spin = at::polar(at::ones({n, planes}, at::kDouble), angles);
  return at::cat({at::complex(pick(channels.real), pick(channels.imaginary)).mul(spin),
                  pick(channels.rest).to(at::kComplexDouble)},
                 2);
}

}  // namespace detail

/// What the layer adds to the residual stream when the samples are one sequence, [samples, hidden].
/// @param inputs  [samples, hidden + 1]
inline at::Tensor attention_output(const ReferenceAttention& attention, const AttentionWeights& w,
                                   const at::Tensor& inputs) {
  using Position = AttentionTraits::Position;
  const ModelConfig& config = attention.config;
  const int64_t heads = w.q.size(0);
  const int64_t d = w.q.size(1);
  const int64_t n = inputs.size(0);
  const auto projected = [&](const at::Tensor& rows) {  // [heads, n, d]
    const at::Tensor x = at::matmul(inputs, rows.transpose(1, 2));
    return config.clip_qkv ? x.clamp(-*config.clip_qkv, *config.clip_qkv) : x;
  };
  const auto shared = [&](const at::Tensor& x) {
    return x.repeat_interleave(heads / x.size(0), 0);
  };
  const at::Tensor q =
      detail::at_positions(config, detail::head_norm(projected(w.q), attention.query_gain));
  const at::Tensor k =
      shared(detail::at_positions(config, detail::head_norm(projected(w.k), attention.key_gain)));
  at::Tensor scores = at::real(at::matmul(q, k.conj().transpose(1, 2)))
                          .div(4 * std::sqrt(static_cast<double>(d * w.q.size(2))));
  const at::Tensor position = at::arange(n, at::kLong);
  const at::Tensor back = position.unsqueeze(1).sub(position).clamp_min(0);  // [n, n]
  if (config.attention.position == Position::kAlibi) {
    const at::Tensor number = at::arange(1, heads + 1, at::kDouble);
    const at::Tensor slopes = number.mul(-8.0 / static_cast<double>(heads)).exp2();
    scores = scores.sub(slopes.view({heads, 1, 1}).mul(back));
  }
  if (attention.bias.defined())
    scores = scores.add(attention.bias.index_select(1, back.flatten()).view({heads, n, n}));
  const at::Tensor later = at::ones({n, n}, at::kDouble).triu(1).mul(1e30);
  scores = scores.sub(later);
  if (attention.sinks.defined()) {
    scores = at::cat({scores, attention.sinks.view({heads, 1, 1}).expand({heads, n, 1})}, 2);
  }
  const at::Tensor weights = at::softmax(scores, 2).narrow(2, 0, n);     // a sink has no value
  const at::Tensor mixed = at::matmul(weights, shared(projected(w.v)));  // [heads, n, d]
  return at::matmul(mixed, w.o.transpose(1, 2)).sum(0);
}

}  // namespace regroup::testing
