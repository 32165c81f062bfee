#pragma once

#include <cstdint>
#include <string>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// Bits of one element of the KV cache or of the weights: bf16 16, fp8 and int8 8, int4 4 (scales of
/// quantised formats are not counted). @throws ConfigError, naming `flag`, for an unknown name
int64_t storage_bits(const std::string& name, const std::string& flag);

/// What one more token of context costs while no window is full.
/// Llama-2-7B in bf16: 2 * 32 layers * 32 heads * 128 * 2 = 524,288; with 8 KV heads 131,072.
int64_t kv_bytes_per_token(const ModelConfig& config, int64_t n_kv_heads, int64_t bits);

}  // namespace regroup
