#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/checkpoint/config.h"
#include "regroup/convert/head_channels.h"
#include "regroup/model/layer.h"
#include "statistics.h"

namespace regroup {

/// One layer's attention in float64, head by head. The last column of q, k and v is the bias, so that
/// a projection is one product with (x, 1).
struct AttentionWeights {
  at::Tensor q;  ///< [n_heads, head_dim, hidden + 1]
  at::Tensor k;  ///< [n_kv_heads, head_dim, hidden + 1]
  at::Tensor v;  ///< [n_kv_heads, head_dim, hidden + 1]
  at::Tensor o;  ///< [n_heads, hidden, head_dim]
  // With QK-norm: gains of each head, [n_heads, head_dim] and [n_kv_heads, head_dim].
  at::Tensor q_gain = {};
  at::Tensor k_gain = {};
};

AttentionWeights widen_attention(const LayerWeights& weights, const ModelConfig& config);

/// Second moments of a vector that every KV head has, and what an error of it costs.
struct VectorMoments {
  at::Tensor cross;   ///< [n_kv_heads, n_kv_heads, n, n]: E[x_i x_j^T]
  at::Tensor metric;  ///< [n_kv_heads, n, n]: an error e of head i costs e^T metric_i e
};

/// Second moments of what the heads of one layer compute, before RoPE. A key falls into its rotary planes,
/// which position turns, and the rest, which it does not (head_channels.h). Of the rest only what
/// differs from token to token counts, unless there are sinks: a constant key adds the same to all logits
/// of a query.
struct HeadMoments {
  at::Tensor key;           ///< [planes, n_kv_heads, n_kv_heads] complex: E[k_i conj(k_j)]
  at::Tensor query_energy;  ///< [n_heads, planes]: E|q|^2
  VectorMoments
      key_rest;  ///< about the mean, without sinks; the metric is the sum of query_rest over readers
  at::Tensor query_rest;  ///< [n_heads, rest, rest]: E[q q^T]
  VectorMoments value;    ///< the metric is the sum of Wo_h^T Wo_h over readers h
  /// With QK-norm queries and keys are taken as the norm leaves them on the mean: gains times the head over its root
  /// mean square. [n_kv_heads]: what k_i is divided by; undefined without.
  at::Tensor key_size = {};
};

HeadMoments head_moments(const AttentionWeights& weights, const LayerStatistics& statistics,
                         const ModelConfig& config);

/// What the logit errors of planes weigh against those of the rest. A query and a key error e that meet
/// at every angle alike make E[Re(q conj(e))^2] = E|q|^2 E|e|^2 / 2; outside the planes nothing turns,
/// and E[(q e)^2] = e^T E[q q^T] e. In units of a plane's E|q|^2 E|e|^2 the rest counts twice.
inline constexpr double kRestWeight = 2.0;

/// Energy of each KV head's keys as the queries that read it see it, [n_kv_heads], in a plane's units.
/// @param readers  query heads a KV head
at::Tensor key_energy_seen(const HeadMoments& moments, int64_t readers);
/// Energy of the queries that read each KV head, [n_kv_heads].
at::Tensor readers_energy(const HeadMoments& moments, int64_t readers);
/// Energy of each KV head's values as Wo sees it, [n_kv_heads].
at::Tensor value_energy(const HeadMoments& moments);

}  // namespace regroup
