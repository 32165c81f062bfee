#pragma once

#include <ATen/core/Tensor.h>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/ops.h"

namespace regroup {

/// What makes logits of the residual stream after the last layer. A conversion leaves it as it is.
struct OutputHead {
  NormWeights final_norm;
  at::Tensor lm_head;  ///< [vocab, hidden]
  double eps = 0;      ///< of the norm

  /// The residual stream's final hidden states. x [..., hidden]
  at::Tensor hidden(const at::Tensor& x) const { return norm(x, final_norm, eps); }
};

/// Reads it in float32. @throws CheckpointError VAL_NONFINITE naming the tensor
OutputHead load_output_head(const ModelFolder& model, at::Device device);

}  // namespace regroup
