#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/model/layer.h"

namespace regroup {

/// Queries, keys and values of one layer as attention takes them: normalised and turned by RoPE, [batch, heads, seq, head_dim].
struct Heads {
  at::Tensor q;
  at::Tensor k;
  at::Tensor v;
};
/// @param y  the normed residual stream, [batch, seq, hidden]
Heads project_heads(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                    const at::Tensor& y, const RopeTables& rope);

/// What the queries of whole sequences make of their keys and values, [batch, seq, n_heads * head_dim].
at::Tensor attend_all(const ModelConfig& config, int64_t layer, const at::Tensor& q,
                      const at::Tensor& k, const at::Tensor& v);

/// How many tokens a query of `layer` sees, itself included; 0: itself and all before it.
int64_t window_of(const ModelConfig& config, int64_t layer);

}  // namespace regroup
