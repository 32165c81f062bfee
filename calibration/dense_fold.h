#pragma once

#include "regroup/convert/fold.h"

namespace regroup {

/// Dense head matrices by LibTorch's products.
const DenseFold& dense_fold();

}  // namespace regroup
