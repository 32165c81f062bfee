#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace regroup {

/// A differentiable function of `inputs`; it may also close over tensors that need no gradient.
using Segment = std::function<std::vector<at::Tensor>(const std::vector<at::Tensor>& inputs)>;

/// segment(inputs), keeping only the inputs: the backward pass computes the inside once more.
/// Every tensor that needs a gradient must be among the inputs, weights included. No randomness.
/// Source: arXiv:1604.06174.
std::vector<at::Tensor> checkpointed(Segment segment, const std::vector<at::Tensor>& inputs);

}  // namespace regroup
