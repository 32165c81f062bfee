#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "regroup/checkpoint/block.h"

namespace regroup {

/// Operations that LibTorch has no fused CPU form of. Differentiable; float32 and bfloat16 have
/// vectorised CPU kernels that compute in float32 and round once, everything else (other devices and
/// dtypes) runs as a composition of ATen operations with the same definition.

/// y = weight * x / sqrt(mean(x^2) + eps), over the last dimension (arXiv:1910.07467, equation 4).
/// @param x  [..., hidden]   @param weight  [hidden]   @return [..., hidden]
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

/// A norm: what it computes, what it multiplies by and adds.
struct NormWeights {
  at::Tensor weight;  ///< [hidden] or undefined
  at::Tensor bias;    ///< [hidden] or undefined
  Norm kind = Norm::kRms;

  /// Otherwise there is no norm, and x stays as it is.
  bool normalises() const { return weight.defined() || kind == Norm::kLayerBare; }
  /// What x / rms(x) is multiplied by, in float32 or float64. Needs a weight.
  at::Tensor gains() const;
};

/// x, rms_norm, or weight * (x - mean(x)) / sqrt(var(x) + eps) + bias, over the last dimension
/// (arXiv:1607.06450, equation 4).
/// @param x  [..., hidden]   @return [..., hidden]
at::Tensor norm(const at::Tensor& x, const NormWeights& weights, double eps);

/// sum = x + delta and y = norm(sum): the two things every residual step does next.
/// @return {sum, y}, both shaped like x
std::tuple<at::Tensor, at::Tensor> add_norm(const at::Tensor& x, const at::Tensor& delta,
                                            const NormWeights& weights, double eps);

/// silu(gate) * up (arXiv:2002.05202, section 2).
/// @param gate_up  [..., 2 * intermediate]: gate first   @return [..., intermediate]
at::Tensor swiglu(const at::Tensor& gate_up);

/// SiLU, or GELU exactly or in its tanh form (arXiv:1606.08415, section 2), element by element.
at::Tensor activated(const at::Tensor& x, Activation activation);

/// Angles of a span of positions.
struct RopeTable {
  at::Tensor cos;  ///< [seq, rotary_dim / 2] float32, times the attention factor
  at::Tensor sin;
};

/// Splits a fused projection and rotates queries and keys by their positions, half-split layout: of the
/// first rotary_dim components of a head, l pairs with l + rotary_dim / 2 (arXiv:2104.09864, section
/// 3.4.2); the others stay as they are.
/// @param qkv  [batch, seq, (n_heads + 2 * n_kv_heads) * head_dim]
/// @return q [batch, n_heads, seq, head_dim], k and v [batch, n_kv_heads, seq, head_dim]; views whose
///         last dimension is contiguous
std::tuple<at::Tensor, at::Tensor, at::Tensor> split_rope(const at::Tensor& qkv,
                                                          const RopeTable& table, int64_t n_heads,
                                                          int64_t n_kv_heads, int64_t head_dim);

/// True for what `project` multiplies in float32 on a CPU: float32 itself, and 16-bit numbers that the processor has no
/// products of. LibTorch's own are 2 times (AVX-512) to 50 times (AVX2) slower there.
bool multiplied_in_float(at::ScalarType dtype);

/// x weight^T + bias.
/// @param x  [..., in]   @param weight  [out, in]   @param bias  [out] or undefined
/// @return   [..., out]
at::Tensor project(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

/// softmax(q k^T / sqrt(head_dim)) v where query t sees keys [max(0, t - window + 1), t]
/// (arXiv:1706.03762, equation 1). Query head h reads KV head h / (n_heads / n_kv_heads); K and V are
/// never expanded, and the probabilities are computed again in the backward pass (arXiv:2205.14135).
/// @param q  [batch, n_heads, seq, head_dim]   @param k, v  [batch, n_kv_heads, seq, head_dim]
/// @param window  0: every earlier token
/// @return   [batch, seq, n_heads * head_dim]
at::Tensor causal_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            int64_t window = 0);

}  // namespace regroup
