#pragma once

#include <ATen/core/Tensor.h>

#include "regroup/checkpoint/model_folder.h"
#include "regroup/model/layer.h"
#include "regroup/model/lm_head.h"
#include "regroup/model/ops.h"

namespace regroup {

/// What makes logits of the residual stream after the last layer. A conversion leaves it as it is.
struct OutputHead {
  NormWeights final_norm;
  LmHead lm_head;
  double eps = 0;  ///< of the norm
  double logit_scale = 1;

  /// The residual stream's final hidden states, times the constant of the logits. x [..., hidden]
  at::Tensor hidden(const at::Tensor& x) const {
    return scaled(norm(x, final_norm, eps), logit_scale);
  }
};

/// Reads it in float32. @throws CheckpointError VAL_NONFINITE naming the tensor
OutputHead load_output_head(const ModelFolder& model, at::Device device);

}  // namespace regroup
