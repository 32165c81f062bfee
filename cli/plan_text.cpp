#include "plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "flag_names.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "regroup/checkpoint/family.h"
#include "regroup/checkpoint/mlp_sizes.h"
#include "table.h"

namespace regroup {
namespace {

std::string bytes_or_dash(const std::optional<int64_t>& bytes) {
  return bytes ? human_bytes(*bytes) : "-";
}

/// One kind of layer in the formula: how many there are, and what one keeps of a sequence.
std::string formula_part(const CacheLayer& layer, int64_t count, const PlanView& view) {
  const double bytes = static_cast<double>(view.request.kv_bits) / 8;
  const std::string tokens =
      layer.kind == CacheKind::kSliding ? fmt::format("min(tokens, {})", layer.window) : "tokens";
  std::string text = fmt::format("  {} {} layers", count, name_of(layer.kind));
  if (layer.n_kv_heads > 0) {
    text += fmt::format(" * {} * KV heads * {} (key and value) * {:g} bytes ({})", tokens,
                        layer.head_elements, bytes, view.kv_dtype);
  } else if (layer.token_elements > 0) {
    text += fmt::format(" * {} * {} (latent) * {:g} bytes ({})", tokens, layer.token_elements,
                        bytes, view.kv_dtype);
  }
  if (layer.state_elements > 0) {
    text += fmt::format("{}{} (state) * 2 bytes a sequence",
                        layer.elements_per_token() > 0 ? " + " : " * ", layer.state_elements);
  }
  return text + "\n";
}

/// The arithmetic, once per kind of layer, so that a reader can redo it.
std::string formula(const PlanView& view) {
  std::vector<std::pair<CacheLayer, int64_t>> kinds;
  for (const CacheLayer& layer : view.layout.layers) {
    const auto same = [&](const auto& kind) { return kind.first == layer; };
    const auto found = std::find_if(kinds.begin(), kinds.end(), same);
    if (found == kinds.end()) {
      kinds.emplace_back(layer, 1);
    } else {
      ++found->second;
    }
  }
  std::string text = "KV bytes of a sequence =\n";
  for (const auto& [layer, count] : kinds) {
    const bool empty = layer.elements_per_token() == 0 && layer.state_elements == 0;
    if (!empty) text += formula_part(layer, count, view);
  }
  return text;
}

std::string reserve_text(const PlanView& view) {
  if (view.request.reserve_bytes == 0) return {};
  const std::string total = human_bytes(view.request.reserve_bytes);
  if (!view.reserve) return fmt::format("reserved: {}\n", total);
  return fmt::format(
      "reserved (estimate): {} = activations {} + logits {} + CUDA context and graphs {} + "
      "fragmentation {}\n",
      total, human_bytes(view.reserve->activations), human_bytes(view.reserve->logits),
      human_bytes(view.reserve->cuda_graphs), human_bytes(view.reserve->fragmentation));
}

std::vector<std::string> plan_row(const PlanView& view, const CapacityOption& o) {
  const bool heads = o.n_kv_heads > 0;
  std::vector<std::string> row = {heads ? std::to_string(o.n_kv_heads) : "-",
                                  heads ? std::to_string(view.layout.n_heads / o.n_kv_heads) : "-",
                                  human_bytes(o.kv_bytes_per_token),
                                  human_bytes(o.kv_bytes),
                                  bytes_or_dash(o.weight_bytes),
                                  bytes_or_dash(o.total_bytes)};
  if (view.request.devices > 1) {
    const DeviceShare& d = o.device;
    row.insert(row.end(), {d.divides ? std::to_string(d.n_kv_heads) : "does not divide",
                           human_bytes(d.kv_bytes), bytes_or_dash(d.weight_bytes),
                           bytes_or_dash(d.total_bytes)});
  }
  if (view.request.gpu_memory_bytes) {
    const bool unbounded = o.max_context == INT64_MAX;
    row.insert(row.end(), {o.fits ? "yes" : "no", std::to_string(o.max_batch),
                           unbounded ? "any" : std::to_string(o.max_context)});
  }
  if (o.roofline) {
    row.push_back(fmt::format("{:.0f} ({})", o.roofline->tokens_per_s,
                              o.roofline->memory_bound ? "memory" : "compute"));
  }
  return row;
}

std::vector<std::vector<std::string>> plan_table(const PlanView& view) {
  std::vector<std::vector<std::string>> rows = {
      {"KV heads", "group", "KV per token", "KV cache", "weights", "total"}};
  if (view.request.devices > 1) {
    rows[0].insert(rows[0].end(), {"a device: KV heads", "KV cache", "weights", "total"});
  }
  if (view.request.gpu_memory_bytes) {
    rows[0].insert(rows[0].end(), {"fits", "max batch", "max context"});
  }
  if (view.plan.options.front().roofline) rows[0].emplace_back("tokens/s at most (bound)");
  if (!view.damage.empty()) rows[0].emplace_back("loss - before");
  for (size_t i = 0; i < view.plan.options.size(); ++i) {
    rows.push_back(plan_row(view, view.plan.options[i]));
    if (!view.damage.empty()) rows.back().push_back(view.damage[i]);
  }
  return rows;
}

/// "46.7B parameters, of which a token uses 12.9B"
std::string parameters_of(const ModelConfig& config) {
  const int64_t all = count_parameters(config);
  const int64_t active = active_parameters(config);
  const std::string text = human_count(static_cast<double>(all)) + " parameters";
  if (active == all) return text;
  return fmt::format("{}, of which a token uses {}", text,
                     human_count(static_cast<double>(active)));
}

std::string headline(const CacheLayout& layout) {
  const std::string what = layout.config ? parameters_of(*layout.config)
                                         : "a family that regroup plans for and does not convert";
  return fmt::format(
      "{}: {} layers, {} query heads, {} KV heads, {}\n",
      printable(layout.architecture.empty() ? layout.model_type : layout.architecture, 80),
      layout.layers.size(), layout.n_heads, layout.n_kv_heads, what);
}

}  // namespace

std::string plan_text(const PlanView& view) {
  std::string text = headline(view.layout) + formula(view);
  text += fmt::format("context {}, batch {}\n", view.request.context, view.request.batch);
  text += reserve_text(view) + "\n" + format_table(plan_table(view)) + "\n";
  if (const int64_t most = view.plan.recommended.value_or(0); most > 0) {
    text += fmt::format("recommended: {} KV head{}\n", most, most == 1 ? "" : "s");
    if (*view.plan.smallest != most) {
      text += fmt::format("the fewest that fit: {}\n", *view.plan.smallest);
    }
  }
  return text + with_flags(view.plan.why) + "\n" + (view.cost.empty() ? "" : view.cost + "\n");
}

}  // namespace regroup
