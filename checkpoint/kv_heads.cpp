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
  if (more.empty() || n_kv_heads <= config.n_kv_heads) return require_kv_heads(config, n_kv_heads);
  throw ConfigError(
      {.code = "KV_HEADS",
       .message = fmt::format("`kv-heads` above the model's {} key/value heads must be a multiple "
                              "of them that divides its {} query heads, found {}",
                              config.n_kv_heads, config.n_heads, n_kv_heads),
       .hint = fmt::format("choose one of {} to repeat heads, or of {} to merge them",
                           fmt::join(more, ", "), fmt::join(kv_head_choices(config), ", "))});
}

}  // namespace regroup
