#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// What new tokens see of `past` earlier ones and of each other: no later token, and with a window no token
/// `window` or more back.
/// @return  [seq, past + seq] bool
at::Tensor visibility(int64_t seq, int64_t past, int64_t window, at::Device device);

/// New queries against all keys so far.
/// @param q  [batch, n_heads, seq, head_dim]   @param k, v  [batch, n_kv_heads, past + seq, head_dim]
/// @param mask  visibility(), or undefined: all is seen
/// @return  [batch, seq, n_heads * head_dim]
at::Tensor cached_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const at::Tensor& mask);

}  // namespace regroup
