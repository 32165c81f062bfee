// What a trace of requests would see at each number of KV heads, from replay.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

double number_of(const JsonFields& fields, const char* key) {
  return fields.number(key).value_or(0);
}

ReportSpread spread_in(const Json& option, const char* key, const std::string& path) {
  const JsonFields fields(object_in(option, key, path), path);
  return {.mean = number_of(fields, "mean"),
          .std = number_of(fields, "std"),
          .p50 = number_of(fields, "p50"),
          .p99 = number_of(fields, "p99")};
}

ReportReplayOption read_option(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.n_kv_heads = count_of(fields, "n_kv_heads"),
          .completed = count_of(fields, "completed"),
          .rejected = count_of(fields, "rejected"),
          .preemptions = count_of(fields, "preemptions"),
          .budget_bytes = count_of(fields, "budget_bytes"),
          .tokens_per_s = number_of(fields, "tokens_per_s"),
          .cost_per_million_tokens = fields.number("cost_per_million_tokens"),
          .concurrency = spread_in(json, "concurrency", path),
          .kv_bytes = spread_in(json, "kv_bytes", path),
          .queue_s = spread_in(json, "queue_s", path),
          .ttft_s = spread_in(json, "ttft_s", path),
          .tpot_s = spread_in(json, "tpot_s", path)};
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields trace(object_in(json, "trace", path), path);
  const JsonFields model(object_in(json, "model", path), path);
  const JsonFields settings(object_in(json, "settings", path), path);
  ReportReplay replay{.architecture = text_of(model, "architecture"),
                      .n_kv_heads = count_of(model, "n_kv_heads"),
                      .trace = text_of(trace, "name"),
                      .requests = count_of(trace, "requests"),
                      .seconds = number_of(trace, "seconds"),
                      .devices = count_of(settings, "devices"),
                      .memory_bytes = count_of(settings, "memory_bytes"),
                      .options = {}};
  for (const Json& option : objects_in(json, "options", path)) {
    replay.options.push_back(read_option(option, path));
  }
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
                               .format = "regroup replay/1",
                               .add = add,
                               .key = "replays",
                               .json = json,
                               .csv = csv};

}  // namespace regroup
