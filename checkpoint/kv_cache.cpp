#include "regroup/checkpoint/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr auto kStorage = std::to_array<std::pair<const char*, int64_t>>(
    {{"bf16", 16}, {"f16", 16}, {"f32", 32}, {"fp8", 8}, {"int8", 8}, {"int4", 4}});

/// Bits that one more token adds in one layer.
int64_t layer_bits(const ModelConfig& config, int64_t n_kv_heads, int64_t bits) {
  return 2 * n_kv_heads * config.head_dim * bits;
}

}  // namespace

int64_t storage_bits(const std::string& name, const std::string& flag) {
  std::vector<std::string> known;
  for (const auto& [storage, bits] : kStorage) {
    if (name == storage) return bits;
    known.emplace_back(storage);
  }
  throw ConfigError({.code = "FLAG_VALUE",
                     .message = fmt::format("{} must be one of {}, found {}", flag,
                                            join(known, ", "), printable(name)),
                     .hint = "leave it out for bf16"});
}

int64_t kv_bytes(const ModelConfig& config, int64_t n_kv_heads, int64_t tokens, int64_t bits) {
  const int64_t per_token = layer_bits(config, n_kv_heads, bits);
  int64_t total_bits = 0;
  for (const bool sliding : config.sliding_layers) {
    const int64_t kept = sliding ? std::min(tokens, *config.sliding_window) : tokens;
    int64_t layer = 0;
    if (__builtin_mul_overflow(kept, per_token, &layer) ||
        __builtin_add_overflow(total_bits, layer, &total_bits)) {
      return INT64_MAX;
    }
  }
  return total_bits / 8;
}

int64_t kv_bytes_per_token(const ModelConfig& config, int64_t n_kv_heads, int64_t bits) {
  return config.n_layers * layer_bits(config, n_kv_heads, bits) / 8;
}

int64_t max_context(const ModelConfig& config, int64_t n_kv_heads, int64_t batch, int64_t bits,
                    int64_t budget_bytes) {
  if (budget_bytes <= 0) return 0;
  const auto fits = [&](int64_t tokens) {
    return kv_bytes(config, n_kv_heads, tokens, bits) <= budget_bytes / batch;
  };
  const auto full = std::count(config.sliding_layers.begin(), config.sliding_layers.end(), false);
  if (full == 0 && fits(*config.sliding_window)) return INT64_MAX;
  int64_t low = 0;  // fits
  int64_t high = int64_t{1} << 40;
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace regroup
