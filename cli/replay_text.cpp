#include "replay_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "table.h"

namespace regroup {
namespace {

/// Of a million output tokens; nothing without a price.
std::optional<double> cost_of_million(const ReplayView& view, const ReplayResult& result) {
  const auto hours = device_hours_per_million(result, view.settings.devices);
  return hours && view.gpu_price > 0 ? std::optional(view.gpu_price * *hours) : std::nullopt;
}

bool any_rejected(const ReplayView& view) {
  return std::any_of(view.results.begin(), view.results.end(),
                     [](const ReplayResult& result) { return result.rejected > 0; });
}

std::vector<std::vector<std::string>> service_table(const ReplayView& view) {
  std::vector<std::vector<std::string>> rows = {{"KV heads", "completed", "tokens/s", "busy",
                                                 "queue p50", "+p99", "TTFT p50", "+p99",
                                                 "TPOT p50", "+p99"}};
  const bool limits = view.settings.ttft_limit_s > 0 || view.settings.tpot_limit_s > 0;
  const bool rejected = any_rejected(view);
  if (rejected) rows[0].emplace_back("rejected");
  if (limits) rows[0].emplace_back("good");
  if (view.gpu_price > 0) rows[0].emplace_back("a million tokens");
  for (const ReplayResult& r : view.results) {
    const double busy = r.duration_s > 0 ? r.busy_s / r.duration_s : 0;
    rows.push_back({std::to_string(r.n_kv_heads), std::to_string(r.completed),
                    human_rate(r.tokens_per_s), fmt::format("{:.1f} %", 100 * busy),
                    human_latency(r.queue_s.p50), human_latency(r.queue_s.p99),
                    human_latency(r.ttft_s.p50), human_latency(r.ttft_s.p99),
                    human_latency(r.tpot_s.p50), human_latency(r.tpot_s.p99)});
    if (rejected) rows.back().push_back(std::to_string(r.rejected));
    if (limits) rows.back().push_back(std::to_string(r.good));
    if (view.gpu_price > 0) {
      const auto cost = cost_of_million(view, r);
      rows.back().push_back(cost ? fmt::format("{:.4g}", *cost) : "-");
    }
  }
  return rows;
}

std::vector<std::vector<std::string>> cache_table(const ReplayView& view) {
  std::vector<std::vector<std::string>> rows = {{"KV heads", "weights", "room for KV", "KV mean",
                                                 "+sd", "+p99", "running", "+p99", "+most",
                                                 "preempted"}};
  if (view.settings.prefix_caching) rows[0].emplace_back("prefix hits");
  for (const ReplayResult& r : view.results) {
    rows.push_back({std::to_string(r.n_kv_heads), human_bytes(r.weight_bytes),
                    human_bytes(r.budget_bytes), human_mean_bytes(r.kv_bytes.mean),
                    human_mean_bytes(r.kv_bytes.std), human_mean_bytes(r.kv_bytes.p99),
                    fmt::format("{:.1f}", r.concurrency.mean),
                    fmt::format("{:.0f}", r.concurrency.p99),
                    fmt::format("{:.0f}", r.concurrency.max), std::to_string(r.preemptions)});
    if (!view.settings.prefix_caching) continue;
    const double share = r.prompt_tokens > 0 ? static_cast<double>(r.prefix_hit_tokens) /
                                                   static_cast<double>(r.prompt_tokens)
                                             : 0;
    rows.back().push_back(fmt::format("{:.1f} %", 100 * share));
  }
  return rows;
}

Json spread_json(const Spread& spread) {
  return {{"mean", spread.mean},
          {"std", spread.std},
          {"p50", spread.p50},
          {"p99", spread.p99},
          {"max", spread.max}};
}

}  // namespace

Json replay_option_json(const ReplayView& view, const ReplayResult& r) {
  Json json = {{"n_kv_heads", r.n_kv_heads},
               {"weight_bytes", r.weight_bytes},
               {"budget_bytes", r.budget_bytes},
               {"completed", r.completed},
               {"rejected", r.rejected},
               {"good", r.good},
               {"duration_s", r.duration_s},
               {"busy_s", r.busy_s},
               {"prompt_tokens", r.prompt_tokens},
               {"output_tokens", r.output_tokens},
               {"tokens_per_s", r.tokens_per_s},
               {"concurrency", spread_json(r.concurrency)},
               {"queue_s", spread_json(r.queue_s)},
               {"ttft_s", spread_json(r.ttft_s)},
               {"tpot_s", spread_json(r.tpot_s)},
               {"latency_s", spread_json(r.latency_s)},
               {"preemptions", r.preemptions},
               {"recomputed_tokens", r.recomputed_tokens},
               {"prefix_hit_tokens", r.prefix_hit_tokens},
               {"kv_bytes", spread_json(r.kv_bytes)},
               {"request_kv_bytes", spread_json(r.request_kv_bytes)},
               {"fragmentation", r.fragmentation}};
  if (const auto hours = device_hours_per_million(r, view.settings.devices)) {
    json["device_hours_per_million_tokens"] = *hours;
  }
  if (const auto cost = cost_of_million(view, r)) json["cost_per_million_tokens"] = *cost;
  return json;
}

std::string replay_text(const ReplayView& view) {
  std::string name = "a trace that was made up";
  if (!view.trace_name.empty()) name = printable(view.trace_name, 200);
  const double span = view.trace.requests.back().arrival_s;
  std::string text =
      fmt::format("{}: {} requests in {}\n", name, view.trace.requests.size(), human_seconds(span));
  const bool bounded = view.settings.max_context > 0;
  if (any_rejected(view)) {
    text += fmt::format("requests that are longer than {}the room for the cache are rejected\n",
                        bounded ? fmt::format("{} tokens or ", view.settings.max_context) : "");
  }
  text += fmt::format(
      "a step takes as long as {:.4g} GB/s of reading or {:.4g} TFLOP/s of computing allow, and "
      "{:.3g} ms "
      "more: a bound, not a measurement\n\n",
      view.settings.bandwidth_bytes_per_s / 1e9, view.settings.flops_per_s / 1e12,
      view.settings.step_overhead_s * 1e3);
  text += format_table(service_table(view)) + "\n" + format_table(cache_table(view));
  return text;
}

Json replay_json(const ReplayView& view) {
  Json json = {{"format", "regroup replay/1"},
               {"model",
                {{"family", view.layout.model_type},
                 {"architecture", view.layout.architecture},
                 {"n_kv_heads", view.layout.n_kv_heads}}},
               {"trace",
                {{"name", view.trace_name},
                 {"requests", view.trace.requests.size()},
                 {"seconds", view.trace.requests.back().arrival_s},
                 {"unordered", view.trace.unordered}}},
               {"settings",
                {{"devices", view.settings.devices},
                 {"memory_bytes", view.settings.memory_bytes},
                 {"reserve_bytes", view.settings.reserve_bytes},
                 {"bandwidth_bytes_per_s", view.settings.bandwidth_bytes_per_s},
                 {"flops_per_s", view.settings.flops_per_s},
                 {"step_overhead_s", view.settings.step_overhead_s},
                 {"kv_bits", view.settings.kv_bits},
                 {"block_tokens", view.settings.block_tokens},
                 {"max_sequences", view.settings.max_sequences},
                 {"max_step_tokens", view.settings.max_step_tokens},
                 {"max_context", view.settings.max_context},
                 {"prefix_caching", view.settings.prefix_caching},
                 {"ttft_limit_s", view.settings.ttft_limit_s},
                 {"tpot_limit_s", view.settings.tpot_limit_s},
                 {"gpu_price", view.gpu_price}}},
               {"options", Json::array()}};
  for (const ReplayResult& result : view.results) {
    json["options"].push_back(replay_option_json(view, result));
  }
  return json;
}

}  // namespace regroup
