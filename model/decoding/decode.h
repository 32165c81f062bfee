#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace regroup {

// One new token, or a few, at a time: what counts is how often memory is read. No gradients.

/// Whether project_few() takes these: a CPU, float32 or bfloat16, at most 8 rows.
bool takes_few_rows(const at::Tensor& x, const at::Tensor& weight);
/// x weight^T + bias, as project(), every weight read once.
at::Tensor project_few(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// Whether decode_attention() takes these.
bool takes_decode_attention(const at::Tensor& q, const at::Tensor& k);
/// softmax(q k^T / sqrt(head_dim)) v for one new token; keys in spans whose sums are joined at the end
/// (flash decoding; arXiv:2205.14135, section 3.1), so that all threads have work with a single KV head.
/// @param q  [batch, n_heads, 1, head_dim]   @param k, v  [batch, n_kv_heads, longest, head_dim] of a cache
/// @param lengths  [batch] keys of each sequence; those behind them are not read
/// @param window  the last so many keys count; 0: all
/// @return   [batch, 1, n_heads * head_dim]
at::Tensor decode_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            std::span<const int64_t> lengths, int64_t window);

}  // namespace regroup
