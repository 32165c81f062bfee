// A trace of requests at each number of KV heads: what users wait for, what the cache takes.
#include <fmt/format.h>

#include <algorithm>

#include "compose.h"
#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"

namespace regroup {
namespace {

Table service_table(const ReportReplay& replay) {
  const bool priced = std::any_of(replay.options.begin(), replay.options.end(), [](const auto& o) {
    return o.cost_per_million_tokens.has_value();
  });
  Table table{.caption = "What users see: medians, and the 99th percentile below",
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Answered", ColumnKind::kNumber},
                          {"Tokens a second", ColumnKind::kNumber},
                          {"Waiting to start", ColumnKind::kNumber},
                          {"First token", ColumnKind::kNumber},
                          {"Each further token", ColumnKind::kNumber}},
              .rows = {}};
  if (priced) table.columns.push_back({"Cost of 1 M tokens", ColumnKind::kNumber});
  const auto times = [](const ReportSpread& spread) {
    return Cell{.text = human_latency(spread.p50), .note = human_latency(spread.p99)};
  };
  for (const ReportReplayOption& o : replay.options) {
    table.rows.push_back({{std::to_string(o.n_kv_heads)},
                          {grouped_digits(o.completed)},
                          {human_rate(o.tokens_per_s)},
                          times(o.queue_s),
                          times(o.ttft_s),
                          times(o.tpot_s)});
    if (o.n_kv_heads == replay.n_kv_heads) table.rows.back()[0].note = "as it is";
    if (o.rejected > 0) {
      table.rows.back()[1].note = grouped_digits(o.rejected) + " too long";
    }
    if (!priced) continue;
    const auto& cost = o.cost_per_million_tokens;
    table.rows.back().push_back({cost ? short_number(*cost) : kNothing});
  }
  return table;
}

Table cache_table(const ReportReplay& replay) {
  Table table{.caption = "What the cache takes, over time: mean, and the standard deviation below",
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Room for the cache", ColumnKind::kNumber},
                          {"Cache", ColumnKind::kNumber},
                          {"Cache, 99th percentile", ColumnKind::kNumber},
                          {"Requests at once", ColumnKind::kNumber},
                          {"Preempted", ColumnKind::kNumber}},
              .rows = {}};
  for (const ReportReplayOption& o : replay.options) {
    table.rows.push_back(
        {{std::to_string(o.n_kv_heads)},
         {human_bytes(o.budget_bytes)},
         {human_mean_bytes(o.kv_bytes.mean), "± " + human_mean_bytes(o.kv_bytes.std)},
         {human_mean_bytes(o.kv_bytes.p99)},
         {fmt::format("{:.1f}", o.concurrency.mean), fmt::format("± {:.1f}", o.concurrency.std)},
         {grouped_digits(o.preemptions)}});
  }
  return table;
}

BarChart wait_chart(const ReportReplay& replay) {
  BarChart chart{.title = "Time to the first token, 99th percentile",
                 .legend = {},
                 .bars = {},
                 .limit = 0,
                 .limit_label = {}};
  for (const ReportReplayOption& o : replay.options) {
    chart.bars.push_back(
        {heads_text(o.n_kv_heads), human_latency(o.ttft_s.p99), {{o.ttft_s.p99, 1}}});
  }
  return chart;
}

void add_replay(const ReportReplay& replay, Section& section) {
  std::string trace = "a trace that was made up";
  if (!replay.trace.empty()) trace = shorten_name(replay.trace);
  const std::string memory = human_bytes(replay.memory_bytes);
  const std::string devices = replay.devices == 1
                                  ? "one device of " + memory
                                  : fmt::format("{} devices of {} each", replay.devices, memory);
  section.blocks.push_back(Paragraph{fmt::format(
      "{}: {} requests of {} in {}, on {}. Simulated from bandwidth and FLOP/s: a bound, not a "
      "measurement.",
      shorten_name(replay.architecture), grouped_digits(replay.requests), trace,
      human_seconds(replay.seconds), devices)});
  if (replay.options.empty()) return;
  section.blocks.push_back(Figure{.chart = wait_chart(replay),
                                  .caption = "Time to the first token: of a hundred users, 99 wait "
                                             "at most so long.",
                                  .numbers = {},
                                  .repeats_table = true});
  section.blocks.push_back(service_table(replay));
  section.blocks.push_back(cache_table(replay));
}

}  // namespace

void sections::replay(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "replay", .title = "Serving a trace of requests", .blocks = {}};
  for (const ReportReplay& replay : data.replays) add_replay(replay, section);
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
