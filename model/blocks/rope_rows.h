#pragma once

#include "regroup/checkpoint/config.h"
#include "regroup/model/layer.h"

namespace regroup {

/// Angles of positions [first, first + count) of a sequence of seq_len tokens.
RopeTables make_rope_rows(const ModelConfig& config, int64_t first, int64_t count, int64_t seq_len,
                          at::Device device);

}  // namespace regroup
