#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// softmax(cap tanh(q k^T / sqrt(head_dim) / cap)) v (arXiv:2408.00118, section 2), a block of queries at a time. Queries
/// are the last of the keys' tokens; each sees none that comes after it, and with a window the last so many.
/// @param q  [batch, n_heads, seq, head_dim]   @param k, v  [batch, n_kv_heads, past + seq, head_dim]
/// @return   [batch, seq, n_heads * head_dim]
at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            int64_t window, double cap);

}  // namespace regroup
