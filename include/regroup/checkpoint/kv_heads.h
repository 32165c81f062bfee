#pragma once

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// Numbers of KV heads above the model's, in which each head is there several times: multiples that divide the query
/// heads. Those below are kv_head_choices().
std::vector<int64_t> repeated_kv_head_choices(const ModelConfig& config);

/// As require_kv_heads(), where heads may be repeated too.
/// @throws ConfigError KV_HEADS
void require_kv_heads_or_more(const ModelConfig& config, int64_t n_kv_heads);

}  // namespace regroup
