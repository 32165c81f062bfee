#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "kernels/attention_kernels.h"
#include "regroup/checkpoint/config.h"
#include "regroup/model/token_tree.h"

namespace regroup {

/// Attention over a TokenTree: each token sees its own sequence, as if that were fed alone. No gradients.
class TreeAttention {
 public:
  /// For tensors of `dtype` on `device`.
  TreeAttention(const TokenTree& tree, const ModelConfig& config, at::ScalarType dtype,
                at::Device device);

  /// @param q     [1, n_heads, tokens, head_dim]   @param k, v  [1, n_kv_heads, tokens, head_dim]
  /// @return      [1, tokens, n_heads * head_dim]
  at::Tensor attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                    const at::Tensor& v) const;
  /// Each token's place in its sequence, [tokens] int64.
  at::Tensor positions() const;

 private:
  at::Tensor with_kernel(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                         int64_t window) const;
  at::Tensor run_by_run(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                        int64_t window) const;
  /// What each token sees, [tokens, tokens] bool.
  at::Tensor visible(int64_t window, at::Device device) const;

  const TokenTree& tree_;
  const ModelConfig& config_;
  bool has_kernel_;
  /// Of each node the runs of tokens before it, the first ones first, counted from its own first token.
  std::vector<std::vector<kernels::RowSpan>> past_;
  at::Tensor mask_;         ///< visible() on a GPU
  at::Tensor window_mask_;  ///< the same for layers with a window
};

}  // namespace regroup
