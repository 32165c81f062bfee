#pragma once

namespace regroup {

/// loss of a token = (1 - kl_weight) CE + kl_weight T^2 KL(teacher || student), both softmaxes of the KL
/// at temperature T (arXiv:1503.02531, section 2, where T^2 keeps the gradients' size).
struct DistillationMix {
  double kl_weight = 1.0;    ///< in [0, 1]
  double temperature = 1.0;  ///< above 0
};

}  // namespace regroup
