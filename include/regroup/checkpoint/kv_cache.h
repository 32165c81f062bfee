#pragma once

#include <cstdint>
#include <string>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// Bits of one element of the KV cache or of the weights: bf16 16, fp8 and int8 8, int4 4 (scales of
/// quantised formats are not counted). @throws ConfigError, naming `flag`, for an unknown name
int64_t storage_bits(const std::string& name, const std::string& flag);

/// Bytes the KV cache of one sequence of `tokens` needs, all layers. A layer with a sliding window
/// keeps at most that many tokens. INT64_MAX when 2^63 bits would not hold it.
///   bytes = sum over layers of 2 * min(tokens, window) * n_kv_heads * head_dim * bits / 8
/// Llama-2-7B in bf16, one token: 2 * 32 * 32 * 128 * 2 = 524,288; with 8 KV heads 131,072.
int64_t kv_bytes(const ModelConfig& config, int64_t n_kv_heads, int64_t tokens, int64_t bits);

/// What one more token of context costs while no window is full.
int64_t kv_bytes_per_token(const ModelConfig& config, int64_t n_kv_heads, int64_t bits);

/// The longest context whose cache fits in `budget_bytes` at `batch` sequences; 0 if none does,
/// INT64_MAX if every layer has a window and all fit.
int64_t max_context(const ModelConfig& config, int64_t n_kv_heads, int64_t batch, int64_t bits,
                    int64_t budget_bytes);

}  // namespace regroup
