#include "replay_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "table.h"

namespace regroup {
namespace {

ReplaySpread spread_of(const Spread& spread) {
  return {.mean = spread.mean,
          .std = spread.std,
          .p50 = spread.p50,
          .p99 = spread.p99,
          .max = spread.max};
}

ReplayServer server_of(const ReplaySettings& settings, double gpu_price) {
  return {.devices = settings.devices,
          .memory_bytes = settings.memory_bytes,
          .reserve_bytes = settings.reserve_bytes,
          .bandwidth_bytes_per_s = settings.bandwidth_bytes_per_s,
          .flops_per_s = settings.flops_per_s,
          .step_overhead_s = settings.step_overhead_s,
          .kv_bits = settings.kv_bits,
          .block_tokens = settings.block_tokens,
          .max_sequences = settings.max_sequences,
          .max_step_tokens = settings.max_step_tokens,
          .max_context = settings.max_context,
          .prefix_caching = settings.prefix_caching,
          .ttft_limit_s = settings.ttft_limit_s,
          .tpot_limit_s = settings.tpot_limit_s,
          .gpu_price = gpu_price};
}

bool any_rejected(const ReplayReport& report) {
  return std::any_of(report.options.begin(), report.options.end(),
                     [](const ReplayOption& option) { return option.rejected > 0; });
}

std::vector<std::vector<std::string>> service_table(const ReplayReport& report) {
  std::vector<std::vector<std::string>> rows = {{"KV heads", "completed", "tokens/s", "busy",
                                                 "queue p50", "+p99", "TTFT p50", "+p99",
                                                 "TPOT p50", "+p99"}};
  const bool limits = report.server.ttft_limit_s > 0 || report.server.tpot_limit_s > 0;
  const bool rejected = any_rejected(report);
  if (rejected) rows[0].emplace_back("rejected");
  if (limits) rows[0].emplace_back("good");
  if (report.server.gpu_price > 0) rows[0].emplace_back("a million tokens");
  for (const ReplayOption& r : report.options) {
    const double busy = r.duration_s > 0 ? r.busy_s / r.duration_s : 0;
    rows.push_back({std::to_string(r.n_kv_heads), std::to_string(r.completed),
                    human_rate(r.tokens_per_s), fmt::format("{:.1f} %", 100 * busy),
                    human_latency(r.queue_s.p50), human_latency(r.queue_s.p99),
                    human_latency(r.ttft_s.p50), human_latency(r.ttft_s.p99),
                    human_latency(r.tpot_s.p50), human_latency(r.tpot_s.p99)});
    if (rejected) rows.back().push_back(std::to_string(r.rejected));
    if (limits) rows.back().push_back(std::to_string(r.good));
    if (report.server.gpu_price > 0) {
      const auto& cost = r.cost_per_million_tokens;
      rows.back().push_back(cost ? fmt::format("{:.4g}", *cost) : "-");
    }
  }
  return rows;
}

std::vector<std::vector<std::string>> cache_table(const ReplayReport& report) {
  std::vector<std::vector<std::string>> rows = {{"KV heads", "weights", "room for KV", "KV mean",
                                                 "+sd", "+p99", "running", "+p99", "+most",
                                                 "preempted"}};
  if (report.server.prefix_caching) rows[0].emplace_back("prefix hits");
  for (const ReplayOption& r : report.options) {
    rows.push_back({std::to_string(r.n_kv_heads), human_bytes(r.weight_bytes),
                    human_bytes(r.budget_bytes), human_mean_bytes(r.kv_bytes.mean),
                    human_mean_bytes(r.kv_bytes.std), human_mean_bytes(r.kv_bytes.p99),
                    fmt::format("{:.1f}", r.concurrency.mean),
                    fmt::format("{:.0f}", r.concurrency.p99),
                    fmt::format("{:.0f}", r.concurrency.max), std::to_string(r.preemptions)});
    if (!report.server.prefix_caching) continue;
    const double share = r.prompt_tokens > 0 ? static_cast<double>(r.prefix_hit_tokens) /
                                                   static_cast<double>(r.prompt_tokens)
                                             : 0;
    rows.back().push_back(fmt::format("{:.1f} %", 100 * share));
  }
  return rows;
}

}  // namespace

ReplayReport describe_replay(const Traffic& traffic, double gpu_price) {
  const CacheLayout& layout = traffic.layout();
  const Trace& trace = traffic.trace();
  return {.family = layout.model_type,
          .architecture = layout.architecture,
          .n_kv_heads = layout.n_kv_heads,
          .trace = traffic.trace_name(),
          .requests = static_cast<int64_t>(trace.requests.size()),
          .seconds = trace.requests.back().arrival_s,
          .unordered = trace.unordered,
          .server = server_of(traffic.settings(), gpu_price)};
}

ReplayOption replay_option(const ReplayResult& r, const ReplayServer& server) {
  ReplayOption option{
      .n_kv_heads = r.n_kv_heads,
      .weight_bytes = r.weight_bytes,
      .budget_bytes = r.budget_bytes,
      .completed = r.completed,
      .rejected = r.rejected,
      .good = r.good,
      .duration_s = r.duration_s,
      .busy_s = r.busy_s,
      .prompt_tokens = r.prompt_tokens,
      .output_tokens = r.output_tokens,
      .tokens_per_s = r.tokens_per_s,
      .concurrency = spread_of(r.concurrency),
      .queue_s = spread_of(r.queue_s),
      .ttft_s = spread_of(r.ttft_s),
      .tpot_s = spread_of(r.tpot_s),
      .latency_s = spread_of(r.latency_s),
      .preemptions = r.preemptions,
      .recomputed_tokens = r.recomputed_tokens,
      .prefix_hit_tokens = r.prefix_hit_tokens,
      .kv_bytes = spread_of(r.kv_bytes),
      .request_kv_bytes = spread_of(r.request_kv_bytes),
      .fragmentation = r.fragmentation,
      .device_hours_per_million_tokens = device_hours_per_million(r, server.devices)};
  const auto& hours = option.device_hours_per_million_tokens;
  if (hours && server.gpu_price > 0) option.cost_per_million_tokens = server.gpu_price * *hours;
  return option;
}

std::string replay_text(const ReplayReport& report) {
  std::string name = "a trace that was made up";
  if (!report.trace.empty()) name = printable(report.trace, 200);
  std::string text =
      fmt::format("{}: {} requests in {}\n", name, report.requests, human_seconds(report.seconds));
  const bool bounded = report.server.max_context > 0;
  if (any_rejected(report)) {
    text += fmt::format("requests that are longer than {}the room for the cache are rejected\n",
                        bounded ? fmt::format("{} tokens or ", report.server.max_context) : "");
  }
  text += fmt::format(
      "a step takes as long as {:.4g} GB/s of reading or {:.4g} TFLOP/s of computing allow, and "
      "{:.3g} ms "
      "more: a bound, not a measurement\n\n",
      report.server.bandwidth_bytes_per_s / 1e9, report.server.flops_per_s / 1e12,
      report.server.step_overhead_s * 1e3);
  text += format_table(service_table(report)) + "\n" + format_table(cache_table(report));
  return text;
}

}  // namespace regroup
