#include "regroup/results/replay.h"

#include <nlohmann/json.hpp>

#include "regroup/results/fields.h"

namespace regroup {
namespace {

double number_of(const JsonFields& fields, const char* key) {
  return fields.number(key).value_or(0);
}

Json spread_json(const ReplaySpread& spread) {
  return {{"mean", spread.mean},
          {"std", spread.std},
          {"p50", spread.p50},
          {"p99", spread.p99},
          {"max", spread.max}};
}

ReplaySpread spread_in(const Json& option, const char* key, const std::string& path) {
  const JsonFields fields(object_in(option, key, path), path);
  return {.mean = number_of(fields, "mean"),
          .std = number_of(fields, "std"),
          .p50 = number_of(fields, "p50"),
          .p99 = number_of(fields, "p99"),
          .max = number_of(fields, "max")};
}

Json server_json(const ReplayServer& server) {
  return {{"devices", server.devices},
          {"memory_bytes", server.memory_bytes},
          {"reserve_bytes", server.reserve_bytes},
          {"bandwidth_bytes_per_s", server.bandwidth_bytes_per_s},
          {"flops_per_s", server.flops_per_s},
          {"step_overhead_s", server.step_overhead_s},
          {"kv_bits", server.kv_bits},
          {"block_tokens", server.block_tokens},
          {"max_sequences", server.max_sequences},
          {"max_step_tokens", server.max_step_tokens},
          {"max_context", server.max_context},
          {"prefix_caching", server.prefix_caching},
          {"ttft_limit_s", server.ttft_limit_s},
          {"tpot_limit_s", server.tpot_limit_s},
          {"gpu_price", server.gpu_price}};
}

ReplayServer read_server(const JsonFields& fields) {
  return {.devices = count_of(fields, "devices"),
          .memory_bytes = count_of(fields, "memory_bytes"),
          .reserve_bytes = count_of(fields, "reserve_bytes"),
          .bandwidth_bytes_per_s = number_of(fields, "bandwidth_bytes_per_s"),
          .flops_per_s = number_of(fields, "flops_per_s"),
          .step_overhead_s = number_of(fields, "step_overhead_s"),
          .kv_bits = count_of(fields, "kv_bits"),
          .block_tokens = count_of(fields, "block_tokens"),
          .max_sequences = count_of(fields, "max_sequences"),
          .max_step_tokens = count_of(fields, "max_step_tokens"),
          .max_context = count_of(fields, "max_context"),
          .prefix_caching = fields.boolean("prefix_caching").value_or(false),
          .ttft_limit_s = number_of(fields, "ttft_limit_s"),
          .tpot_limit_s = number_of(fields, "tpot_limit_s"),
          .gpu_price = number_of(fields, "gpu_price")};
}

ReplayOption read_replay_option(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.n_kv_heads = count_of(fields, "n_kv_heads"),
          .weight_bytes = count_of(fields, "weight_bytes"),
          .budget_bytes = count_of(fields, "budget_bytes"),
          .completed = count_of(fields, "completed"),
          .rejected = count_of(fields, "rejected"),
          .good = count_of(fields, "good"),
          .duration_s = number_of(fields, "duration_s"),
          .busy_s = number_of(fields, "busy_s"),
          .prompt_tokens = count_of(fields, "prompt_tokens"),
          .output_tokens = count_of(fields, "output_tokens"),
          .tokens_per_s = number_of(fields, "tokens_per_s"),
          .concurrency = spread_in(json, "concurrency", path),
          .queue_s = spread_in(json, "queue_s", path),
          .ttft_s = spread_in(json, "ttft_s", path),
          .tpot_s = spread_in(json, "tpot_s", path),
          .latency_s = spread_in(json, "latency_s", path),
          .preemptions = count_of(fields, "preemptions"),
          .recomputed_tokens = count_of(fields, "recomputed_tokens"),
          .prefix_hit_tokens = count_of(fields, "prefix_hit_tokens"),
          .kv_bytes = spread_in(json, "kv_bytes", path),
          .request_kv_bytes = spread_in(json, "request_kv_bytes", path),
          .fragmentation = number_of(fields, "fragmentation"),
          .device_hours_per_million_tokens = fields.number("device_hours_per_million_tokens"),
          .cost_per_million_tokens = fields.number("cost_per_million_tokens")};
}

}  // namespace

Json replay_option_json(const ReplayOption& option) {
  Json json = {{"n_kv_heads", option.n_kv_heads},
               {"weight_bytes", option.weight_bytes},
               {"budget_bytes", option.budget_bytes},
               {"completed", option.completed},
               {"rejected", option.rejected},
               {"good", option.good},
               {"duration_s", option.duration_s},
               {"busy_s", option.busy_s},
               {"prompt_tokens", option.prompt_tokens},
               {"output_tokens", option.output_tokens},
               {"tokens_per_s", option.tokens_per_s},
               {"concurrency", spread_json(option.concurrency)},
               {"queue_s", spread_json(option.queue_s)},
               {"ttft_s", spread_json(option.ttft_s)},
               {"tpot_s", spread_json(option.tpot_s)},
               {"latency_s", spread_json(option.latency_s)},
               {"preemptions", option.preemptions},
               {"recomputed_tokens", option.recomputed_tokens},
               {"prefix_hit_tokens", option.prefix_hit_tokens},
               {"kv_bytes", spread_json(option.kv_bytes)},
               {"request_kv_bytes", spread_json(option.request_kv_bytes)},
               {"fragmentation", option.fragmentation}};
  if (option.device_hours_per_million_tokens) {
    json["device_hours_per_million_tokens"] = *option.device_hours_per_million_tokens;
  }
  if (option.cost_per_million_tokens) {
    json["cost_per_million_tokens"] = *option.cost_per_million_tokens;
  }
  return json;
}

Json replay_report_json(const ReplayReport& report) {
  Json json = {{"format", kReplayFormat},
               {"model",
                {{"family", report.family},
                 {"architecture", report.architecture},
                 {"n_kv_heads", report.n_kv_heads}}},
               {"trace",
                {{"name", report.trace},
                 {"requests", report.requests},
                 {"seconds", report.seconds},
                 {"unordered", report.unordered}}},
               {"settings", server_json(report.server)},
               {"options", Json::array()}};
  for (const ReplayOption& option : report.options) {
    json["options"].push_back(replay_option_json(option));
  }
  return json;
}

ReplayReport read_replay(const Json& json, const std::string& path) {
  require_format(json, kReplayFormat, path);
  const JsonFields model(object_in(json, "model", path), path);
  const JsonFields trace(object_in(json, "trace", path), path);
  ReplayReport report{.family = text_of(model, "family"),
                      .architecture = text_of(model, "architecture"),
                      .n_kv_heads = count_of(model, "n_kv_heads"),
                      .trace = text_of(trace, "name"),
                      .requests = count_of(trace, "requests"),
                      .seconds = number_of(trace, "seconds"),
                      .unordered = count_of(trace, "unordered"),
                      .server = read_server(JsonFields(object_in(json, "settings", path), path))};
  for (const Json& option : objects_in(json, "options", path)) {
    report.options.push_back(read_replay_option(option, path));
  }
  return report;
}

}  // namespace regroup
