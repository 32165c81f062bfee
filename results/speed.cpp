#include "regroup/results/speed.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

/// `p` in [0, 1] of sorted values.
double quantile_of(const std::vector<double>& sorted, double p) {
  const double place = p * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - std::floor(place)) * (sorted[above] - sorted[below]);
}

Json speed_up_json(const std::optional<SpeedUp>& speed_up) {
  if (!speed_up) return nullptr;
  return {{"over", speed_up->over},
          {"n_kv_heads", speed_up->n_kv_heads},
          {"measured", speed_up->measured},
          {"predicted", speed_up->predicted}};
}

Json run_json(const SpeedRun& run) {
  return {
      {"model", run.model},
      {"n_kv_heads", run.n_kv_heads},
      {"batch", run.batch},
      {"context", run.context},
      {"prefill_tokens_per_s", run.prefill_tokens_per_s ? Json(*run.prefill_tokens_per_s) : Json()},
      {"prefill_sequences", run.prefill_sequences},
      {"decode_tokens_per_s",
       {{"median", run.decode.median}, {"p10", run.decode.p10}, {"p90", run.decode.p90}}},
      {"kv_bytes_computed", run.kv_bytes_computed},
      {"kv_bytes_measured", run.kv_bytes_measured},
      {"step_allocated_bytes", run.step_allocated_bytes},
      {"step_bytes", run.step_bytes},
      {"step_flops", run.step_flops},
      {"bandwidth_fraction", run.bandwidth_fraction},
      {"bound", run.memory_bound ? "memory" : "compute"},
      {"roofline_tokens_per_s", run.roofline_tokens_per_s},
      {"speed_up", speed_up_json(run.speed_up)},
      {"step_s", run.step_s}};
}

[[noreturn]] void refuse_type(const std::string& path, const std::string& what) {
  throw CheckpointError({.code = "CFG_TYPE",
                         .message = what,
                         .path = path,
                         .hint = "give the file as bench wrote it"});
}

const Json& speed_object(const Json& json, const char* key, const std::string& path) {
  const auto found = json.find(key);
  if (found != json.end() && found->is_object()) return *found;
  refuse_type(path, "\"" + std::string(key) + "\" must be an object");
}

/// A figure that must be there, and be no less than zero.
double figure_of(const JsonFields& fields, const char* key) {
  const std::optional<double> value = fields.number(key);
  if (value && *value >= 0) return *value;
  refuse_type(fields.path(), "\"" + std::string(key) + "\" must be a number from 0 up");
}

int64_t whole_of(const JsonFields& fields, const char* key) {
  const std::optional<int64_t> value = fields.integer(key, 0, INT64_MAX);
  if (value) return *value;
  refuse_type(fields.path(), "\"" + std::string(key) + "\" must be a whole number");
}

SpeedRun read_run(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  const JsonFields decode(speed_object(json, "decode_tokens_per_s", path), path);
  SpeedRun run{
      .model = fields.string("model").value_or(""),
      .n_kv_heads = whole_of(fields, "n_kv_heads"),
      .batch = whole_of(fields, "batch"),
      .context = whole_of(fields, "context"),
      .prefill_tokens_per_s = fields.number("prefill_tokens_per_s"),
      .prefill_sequences = fields.integer("prefill_sequences", 0, INT64_MAX).value_or(0),
      .decode = {.median = figure_of(decode, "median"),
                 .p10 = figure_of(decode, "p10"),
                 .p90 = figure_of(decode, "p90")},
      .kv_bytes_computed = whole_of(fields, "kv_bytes_computed"),
      .kv_bytes_measured = whole_of(fields, "kv_bytes_measured"),
      .step_allocated_bytes = fields.integer("step_allocated_bytes", 0, INT64_MAX).value_or(0),
      .step_bytes = fields.number("step_bytes").value_or(0),
      .step_flops = fields.number("step_flops").value_or(0),
      .bandwidth_fraction = figure_of(fields, "bandwidth_fraction"),
      .memory_bound = fields.string("bound").value_or("memory") == "memory",
      .roofline_tokens_per_s = fields.number("roofline_tokens_per_s").value_or(0)};
  if (fields.find("speed_up") != nullptr) {
    const JsonFields speed_up(speed_object(json, "speed_up", path), path);
    run.speed_up = SpeedUp{.over = speed_up.string("over").value_or(""),
                           .n_kv_heads = whole_of(speed_up, "n_kv_heads"),
                           .measured = figure_of(speed_up, "measured"),
                           .predicted = figure_of(speed_up, "predicted")};
  }
  return run;
}

}  // namespace

DecodeRate decode_rate(std::vector<double> step_s, int64_t batch) {
  std::sort(step_s.begin(), step_s.end());
  const auto rate = [&](double p) { return static_cast<double>(batch) / quantile_of(step_s, p); };
  return {.median = rate(0.5), .p10 = rate(0.9), .p90 = rate(0.1)};
}

namespace {

/// The run with most KV heads at the batch and context of `run`; nullptr where none has more than it.
const SpeedRun* most_heads(const std::vector<SpeedRun>& runs, const SpeedRun& run,
                           bool same_model) {
  const SpeedRun* most = &run;
  for (const SpeedRun& other : runs) {
    const bool same_point = other.batch == run.batch && other.context == run.context;
    if (!same_point || (same_model && other.model != run.model)) continue;
    if (other.n_kv_heads > most->n_kv_heads) most = &other;
  }
  return most == &run ? nullptr : most;
}

}  // namespace

void compare_speeds(std::vector<SpeedRun>& runs) {
  for (SpeedRun& run : runs) {
    const SpeedRun* most = most_heads(runs, run, /*same_model=*/true);
    if (most == nullptr) most = most_heads(runs, run, /*same_model=*/false);
    if (most == nullptr) continue;
    run.speed_up = SpeedUp{.over = most->model,
                           .n_kv_heads = most->n_kv_heads,
                           .measured = run.decode.median / most->decode.median,
                           .predicted = run.roofline_tokens_per_s / most->roofline_tokens_per_s};
  }
}

Json speed_json(const SpeedReport& report) {
  Json json = {{"format", kSpeedFormat},
               {"version", report.version},
               {"machine",
                {{"device", report.device},
                 {"processor", report.processor},
                 {"threads", report.threads},
                 {"copy_bytes_per_s", report.copy_bytes_per_s},
                 {"read_bytes_per_s", report.read_bytes_per_s},
                 {"flops_per_s", report.flops_per_s}}},
               {"dtype", report.dtype},
               {"new_tokens", report.new_tokens},
               {"repetitions", report.repetitions},
               {"runs", Json::array()}};
  for (const SpeedRun& run : report.runs) json["runs"].push_back(run_json(run));
  return json;
}

SpeedReport read_speed(const Json& json, const std::string& path) {
  require_format(json, kSpeedFormat, path);
  const JsonFields fields(json, path);
  const JsonFields machine(speed_object(json, "machine", path), path);
  SpeedReport report{.device = machine.string("device").value_or(""),
                     .processor = machine.string("processor").value_or(""),
                     .dtype = fields.string("dtype").value_or(""),
                     .version = fields.string("version").value_or(""),
                     .threads = machine.integer("threads", 0, INT64_MAX).value_or(0),
                     .new_tokens = fields.integer("new_tokens", 0, INT64_MAX).value_or(0),
                     .repetitions = fields.integer("repetitions", 0, INT64_MAX).value_or(0),
                     .copy_bytes_per_s = figure_of(machine, "copy_bytes_per_s"),
                     .read_bytes_per_s = figure_of(machine, "read_bytes_per_s"),
                     .flops_per_s = figure_of(machine, "flops_per_s"),
                     .runs = {}};
  const auto runs = json.find("runs");
  if (runs == json.end() || !runs->is_array()) refuse_type(path, "\"runs\" must be a list");
  for (const Json& run : *runs) {
    if (!run.is_object()) refuse_type(path, "\"runs\" must hold objects");
    report.runs.push_back(read_run(run, path));
  }
  return report;
}

}  // namespace regroup
