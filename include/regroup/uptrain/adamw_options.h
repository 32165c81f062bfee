#pragma once

namespace regroup {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.95;
  double eps = 1e-8;
  double weight_decay = 0.1;    ///< of matrices; norms and biases never decay
  double clip_grad_norm = 1.0;  ///< 0: no clipping
};

}  // namespace regroup
