#pragma once

#include <ATen/core/Tensor.h>

#include "regroup/model/layer.h"

namespace regroup {

/// The matrices of an MLP, of a layer or of one expert.
struct MlpMatrices {
  at::Tensor gate_up;       ///< [2 width, hidden]: gate, up; without a gate up alone
  at::Tensor gate_up_bias;  ///< as its rows, or undefined
  at::Tensor down;          ///< [hidden, width]
  at::Tensor down_bias;     ///< [hidden] or undefined
};

/// @param y  [..., hidden]   @return [..., hidden]
at::Tensor one_mlp(const ModelConfig& config, const at::Tensor& y, const MlpMatrices& matrices);

/// What a router makes of a token: its experts, and what their outputs are multiplied by.
struct Routes {
  at::Tensor experts;  ///< [tokens, per_token] int64
  at::Tensor weights;  ///< [tokens, per_token], in float32 or float64
};

/// The experts of the largest softmax(y router^T), with those probabilities, or with them over their sum
/// (arXiv:2401.04088, section 2.1; arXiv:2409.02060, section 2).
/// @param y  [tokens, hidden]
Routes chosen_experts(const Experts& experts, const at::Tensor& y, const at::Tensor& router);

/// The sum over a token's experts of their weight times their output, and of the shared expert's output, which the sigmoid
/// of a router of its own may multiply (arXiv:2401.06066, section 3.2).
/// @param y  [..., hidden]   @return [..., hidden]
at::Tensor experts_output(const ModelConfig& config, const LayerWeights& weights,
                          const at::Tensor& y);

}  // namespace regroup
