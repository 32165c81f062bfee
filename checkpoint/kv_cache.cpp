#include "regroup/checkpoint/kv_cache.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr auto kStorage = std::to_array<std::pair<const char*, int64_t>>(
    {{"bf16", 16}, {"f16", 16}, {"f32", 32}, {"fp8", 8}, {"int8", 8}, {"int4", 4}});

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

int64_t kv_bytes_per_token(const ModelConfig& config, int64_t n_kv_heads, int64_t bits) {
  return config.n_layers * 2 * n_kv_heads * config.head_dim * bits / 8;
}

}  // namespace regroup
