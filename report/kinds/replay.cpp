// What a trace of requests would see at each number of KV heads, from replay.
#include "regroup/results/replay.h"

#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

ReportSpread spread_of(const ReplaySpread& spread) {
  return {.mean = spread.mean, .std = spread.std, .p50 = spread.p50, .p99 = spread.p99};
}

ReportReplayOption shown(const ReplayOption& option) {
  return {.n_kv_heads = option.n_kv_heads,
          .completed = option.completed,
          .rejected = option.rejected,
          .preemptions = option.preemptions,
          .budget_bytes = option.budget_bytes,
          .tokens_per_s = option.tokens_per_s,
          .cost_per_million_tokens = option.cost_per_million_tokens,
          .concurrency = spread_of(option.concurrency),
          .kv_bytes = spread_of(option.kv_bytes),
          .queue_s = spread_of(option.queue_s),
          .ttft_s = spread_of(option.ttft_s),
          .tpot_s = spread_of(option.tpot_s)};
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const ReplayReport read = read_replay(json, path);
  ReportReplay replay{.architecture = read.architecture,
                      .n_kv_heads = read.n_kv_heads,
                      .trace = read.trace,
                      .requests = read.requests,
                      .seconds = read.seconds,
                      .devices = read.server.devices,
                      .memory_bytes = read.server.memory_bytes,
                      .options = {}};
  for (const ReplayOption& option : read.options) replay.options.push_back(shown(option));
  data.replays.push_back(std::move(replay));
}

Json spread_json(const ReportSpread& spread) {
  return {{"mean", spread.mean}, {"std", spread.std}, {"p50", spread.p50}, {"p99", spread.p99}};
}

Json option_json(const ReportReplayOption& option) {
  return {{"n_kv_heads", option.n_kv_heads},
          {"completed", option.completed},
          {"rejected", option.rejected},
          {"preemptions", option.preemptions},
          {"budget_bytes", option.budget_bytes},
          {"tokens_per_s", option.tokens_per_s},
          {"cost_per_million_tokens", optional_json(option.cost_per_million_tokens)},
          {"concurrency", spread_json(option.concurrency)},
          {"kv_bytes", spread_json(option.kv_bytes)},
          {"queue_s", spread_json(option.queue_s)},
          {"ttft_s", spread_json(option.ttft_s)},
          {"tpot_s", spread_json(option.tpot_s)}};
}

Json replay_json(const ReportReplay& replay) {
  return {{"architecture", replay.architecture},
          {"n_kv_heads", replay.n_kv_heads},
          {"trace", replay.trace},
          {"requests", replay.requests},
          {"seconds", replay.seconds},
          {"devices", replay.devices},
          {"memory_bytes", replay.memory_bytes},
          {"options", list_json(replay.options, option_json)}};
}

Json json(const ReportData& data) { return list_json(data.replays, replay_json); }

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportReplay& replay : data.replays) {
    std::string model = replay.architecture;
    if (!replay.trace.empty()) model += " on " + replay.trace;
    for (const ReportReplayOption& option : replay.options) {
      const auto line = [&](const char* metric, double value) {
        text += csv_line({.section = "replay",
                          .model = model,
                          .n_kv_heads = option.n_kv_heads,
                          .metric = metric,
                          .value = csv_number(value),
                          .n = std::to_string(option.completed)});
      };
      line("tokens_per_s", option.tokens_per_s);
      line("concurrency_mean", option.concurrency.mean);
      line("kv_bytes_mean", option.kv_bytes.mean);
      line("kv_bytes_std", option.kv_bytes.std);
      line("queue_s_p99", option.queue_s.p99);
      line("ttft_s_p99", option.ttft_s.p99);
      line("tpot_s_p50", option.tpot_s.p50);
      if (option.cost_per_million_tokens) {
        line("cost_per_million_tokens", *option.cost_per_million_tokens);
      }
    }
  }
  return text;
}

}  // namespace

const ResultKind kinds::replay{.name = "replay",
                               .format = kReplayFormat,
                               .add = add,
                               .key = "replays",
                               .json = json,
                               .csv = csv};

}  // namespace regroup
