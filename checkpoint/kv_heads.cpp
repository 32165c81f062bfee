#include "regroup/checkpoint/kv_heads.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "regroup/base/error.h"

namespace regroup {

std::vector<int64_t> repeated_kv_head_choices(const ModelConfig& config) {
  std::vector<int64_t> choices;
  if (config.multi_query) return choices;
  for (int64_t g = 2 * config.n_kv_heads; g <= config.n_heads; g += config.n_kv_heads) {
    if (config.n_heads % g == 0) choices.push_back(g);
  }
  return choices;
}

void require_kv_heads_or_more(const ModelConfig& config, int64_t n_kv_heads) {
  const std::vector<int64_t> more = repeated_kv_head_choices(config);
  if (std::find(more.begin(), more.end(), n_kv_heads) != more.end()) return;
  const std::vector<int64_t> fewer = kv_head_choices(config);
  const bool merges = std::find(fewer.begin(), fewer.end(), n_kv_heads) != fewer.end();
  if (more.empty() || merges) return require_kv_heads(config, n_kv_heads);
  throw ConfigError(
      {.code = "KV_HEADS",
       .message = fmt::format("`kv-heads` must divide the model's {} key/value heads, or be a "
                              "multiple of them that divides its {} query heads, found {}",
                              config.n_kv_heads, config.n_heads, n_kv_heads),
       .hint = fmt::format("choose one of {} to merge heads, or of {} to repeat them",
                           fmt::join(fewer, ", "), fmt::join(more, ", "))});
}

}  // namespace regroup
