#pragma once

#include <cstdint>

#include "regroup/serving/capacity.h"

namespace regroup {

/// What a server takes beside weights and cache, estimated.
struct Reserve {
  int64_t activations = 0;    ///< of the longest step
  int64_t logits = 0;         ///< 32 bits, one row a sequence
  int64_t cuda_graphs = 0;    ///< and the context of the driver
  int64_t fragmentation = 0;  ///< half a block of cache a sequence

  int64_t total() const { return activations + logits + cuda_graphs + fragmentation; }
};

/// @param layout  as the model is now: what is reserved does not shrink with its KV heads
Reserve estimate_reserve(const CacheLayout& layout, const CapacityRequest& request);

}  // namespace regroup
