#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "head_moments.h"
#include "regroup/convert/head_transform.h"

namespace regroup {

/// [head_dim, head_dim] float64.
at::Tensor matrix_of(const HeadMatrix& matrix, int64_t head_dim);

/// Applies `transform` in float64. The result has n_kv_heads key and value heads; q and o keep theirs
/// in the transform's order.
AttentionWeights fold_attention(const AttentionWeights& weights, const LayerTransform& transform,
                                const ModelConfig& parent, int64_t n_kv_heads);

}  // namespace regroup
