#pragma once

#include "regroup/serving/capacity.h"

namespace regroup {

/// A decode step of `batch` sequences of `context` tokens on one of `devices` that share the model.
/// @param weight_bytes  of the device
Roofline decode_roofline(const CacheLayout& layout, const CapacityRequest& request,
                         int64_t weight_bytes, int64_t kv_bytes, const Gpu& gpu);

}  // namespace regroup
