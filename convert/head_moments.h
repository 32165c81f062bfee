#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/checkpoint/config.h"
#include "regroup/convert/statistics.h"
#include "regroup/model/layer.h"

namespace regroup {

/// One layer's attention in float64, head by head. The last column of q, k and v is the bias, so that
/// a projection is one product with (x, 1).
struct AttentionWeights {
  at::Tensor q;  ///< [n_heads, head_dim, hidden + 1]
  at::Tensor k;  ///< [n_kv_heads, head_dim, hidden + 1]
  at::Tensor v;  ///< [n_kv_heads, head_dim, hidden + 1]
  at::Tensor o;  ///< [n_heads, hidden, head_dim]
};

AttentionWeights widen_attention(const LayerWeights& weights, const ModelConfig& config);

/// Second moments of what the heads of one layer compute, before RoPE.
/// A rotary plane l of a head is the complex number of components (l, l + head_dim / 2).
struct HeadMoments {
  at::Tensor key;           ///< [planes, n_kv_heads, n_kv_heads] complex: E[k_i conj(k_j)]
  at::Tensor value;         ///< [n_kv_heads, n_kv_heads, head_dim, head_dim]: E[v_i v_j^T]
  at::Tensor query_energy;  ///< [n_heads, planes]: E|q|^2
  at::Tensor value_metric;  ///< [n_kv_heads, head_dim, head_dim]: sum of Wo_h^T Wo_h over readers h
};

HeadMoments head_moments(const AttentionWeights& weights, const LayerStatistics& statistics,
                         const ModelConfig& config);

/// E|k_i|^2 of every plane, [n_kv_heads, planes].
at::Tensor key_energy(const HeadMoments& moments);
/// Query energy summed over the `readers` heads that read each KV head, [n_kv_heads, planes].
at::Tensor readers_energy(const HeadMoments& moments, int64_t readers);
/// Energy of each KV head's values as Wo sees it, [n_kv_heads].
at::Tensor value_energy(const HeadMoments& moments);

/// Complex numbers, one a plane, as the real matrix that multiplies each plane by its number.
/// @param factors  [planes] complex   @return [2 planes, 2 planes] float64
at::Tensor plane_matrix(const at::Tensor& factors);

}  // namespace regroup
