#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// Cross-entropy of next-token prediction, fused with the output projection and computed in chunks of
/// tokens: [tokens, vocab] never exists, in no pass. Gradients are taken in the forward pass.
/// @param hidden   [tokens, hidden], the decoder's output
/// @param lm_head  [vocab, hidden]; gets a gradient only if it requires one
/// @param targets  [tokens] int64; negative: not counted
/// @param scale    weight of every token, 1 / (tokens of the whole optimizer step)
/// @return scalar float32: scale * sum of -log softmax(hidden lm_head^T)[target]
/// Softmax and sums are taken in float32, the total in float64, whatever the dtype of `hidden`.
at::Tensor fused_cross_entropy(const at::Tensor& hidden, const at::Tensor& lm_head,
                               const at::Tensor& targets, double scale);

}  // namespace regroup
