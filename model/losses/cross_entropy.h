#pragma once

#include <ATen/core/Tensor.h>

namespace regroup {

/// Cross-entropy and its gradient in one go: `logits` become scale * (softmax - onehot).
/// @param logits   [rows, vocab] float32, overwritten
/// @param targets  [rows] int64; a negative target counts nothing and gets a zero gradient
/// @return the sum of -log softmax(logits)[target], not scaled: a float64 scalar on the device of
///         `logits`, for which nobody has waited
at::Tensor cross_entropy_(const at::Tensor& logits, const at::Tensor& targets, double scale);

}  // namespace regroup
