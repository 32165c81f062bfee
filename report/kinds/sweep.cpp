// How many KV heads are enough, from sweep.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

Measured measured_of(const JsonFields& fields, const char* value, const char* error) {
  return {fields.number(value).value_or(0), fields.number(error)};
}

ReportTolerance read_tolerance(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.kind = text_of(fields, "kind"),
          .name = text_of(fields, "name"),
          .metric = text_of(fields, "metric"),
          .unit = text_of(fields, "unit"),
          .limit = fields.number("limit").value_or(0)};
}

ReportToleranceCheck read_check(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  const auto [low, high] = interval_in(fields, "ci95");
  return {.tolerance = read_tolerance(json, path),
          .lost = measured_of(fields, "lost", "stderr"),
          .low = low,
          .high = high,
          .excess = fields.number("excess").value_or(0),
          .within = fields.boolean("within").value_or(false)};
}

ReportLossIncrease read_increase(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  ReportLossIncrease increase{
      .text = text_of(fields, "text"), .loss = measured_of(fields, "value", "stderr"), .kl = {}};
  if (fields.has("kl")) increase.kl = measured_of(fields, "kl", "kl_stderr");
  return increase;
}

std::optional<ReportSweepTraffic> read_traffic(const Json& point, const std::string& path) {
  const Json& json = object_in(point, "traffic", path);
  if (json.empty()) return std::nullopt;
  const JsonFields fields(json, path);
  const auto in = [&](const char* object, const char* key) {
    return JsonFields(object_in(json, object, path), path).number(key).value_or(0);
  };
  const auto price = fields.number("cost_per_million_tokens");
  return ReportSweepTraffic{
      .concurrency = in("concurrency", "mean"),
      .ttft_p99_s = in("ttft_s", "p99"),
      .tokens_per_s = fields.number("tokens_per_s").value_or(0),
      .cost = price ? price : fields.number("device_hours_per_million_tokens")};
}

ReportSweepPoint read_sweep_point(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  const JsonFields mean(object_in(json, "mean_loss_increase", path), path);
  ReportSweepPoint point{.n_kv_heads = count_of(fields, "n_kv_heads"),
                         .role = text_of(fields, "role"),
                         .kv_bytes_per_token = count_of(fields, "kv_bytes_per_token"),
                         .increase = measured_of(mean, "value", "stderr"),
                         .losses = {},
                         .checks = {},
                         .within = fields.boolean("within"),
                         .traffic = read_traffic(json, path)};
  for (const Json& one : objects_in(json, "loss_increase", path)) {
    point.losses.push_back(read_increase(one, path));
  }
  if (!fields.has("tolerances")) return point;
  for (const Json& one : objects_in(json, "tolerances", path)) {
    point.checks.push_back(read_check(one, path));
  }
  return point;
}

bool holds(const Json& front, int64_t n_kv_heads) {
  return front.is_array() && std::find(front.begin(), front.end(), n_kv_heads) != front.end();
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  ReportSweep sweep{.points = {},
                    .tolerances = {},
                    .chosen = fields.integer("chosen", 0, INT64_MAX),
                    .has_traffic = fields.has("trace"),
                    .trace = text_of(JsonFields(object_in(json, "trace", path), path), "name"),
                    .cost_unit = text_of(fields, "cost_unit"),
                    .findings = texts_in(json, "findings", path)};
  if (fields.has("tolerances")) {
    for (const Json& one : objects_in(json, "tolerances", path)) {
      sweep.tolerances.push_back(read_tolerance(one, path));
    }
  }
  const Json& fronts = object_in(json, "fronts", path);
  for (const Json& one : objects_in(json, "points", path)) {
    sweep.points.push_back(read_sweep_point(one, path));
    ReportSweepPoint& point = sweep.points.back();
    point.cache_front = holds(fronts.value("cache", Json()), point.n_kv_heads);
    point.cost_front = holds(fronts.value("cost", Json()), point.n_kv_heads);
  }
  data.sweeps.push_back(std::move(sweep));
}

Json measured_json(const Measured& measured) {
  return {{"value", measured.value}, {"stderr", optional_json(measured.error)}};
}

Json tolerance_json(const ReportTolerance& tolerance) {
  return {{"kind", tolerance.kind},
          {"name", tolerance.name},
          {"metric", tolerance.metric},
          {"limit", tolerance.limit},
          {"unit", tolerance.unit}};
}

Json check_json(const ReportToleranceCheck& check) {
  Json json = tolerance_json(check.tolerance);
  json["lost"] = measured_json(check.lost);
  json["ci95"] = {check.low, check.high};
  json["excess"] = check.excess;
  json["within"] = check.within;
  return json;
}

Json increase_json(const ReportLossIncrease& increase) {
  return {{"text", increase.text},
          {"loss", measured_json(increase.loss)},
          {"kl", increase.kl ? measured_json(*increase.kl) : Json()}};
}

Json traffic_json(const ReportSweepTraffic& traffic) {
  return {{"concurrency", traffic.concurrency},
          {"ttft_p99_s", traffic.ttft_p99_s},
          {"tokens_per_s", traffic.tokens_per_s},
          {"cost", optional_json(traffic.cost)}};
}

Json point_json(const ReportSweepPoint& point) {
  return {{"n_kv_heads", point.n_kv_heads},
          {"role", point.role},
          {"kv_bytes_per_token", point.kv_bytes_per_token},
          {"mean_loss_increase", measured_json(point.increase)},
          {"losses", list_json(point.losses, increase_json)},
          {"tolerances", list_json(point.checks, check_json)},
          {"within", optional_json(point.within)},
          {"traffic", point.traffic ? traffic_json(*point.traffic) : Json()},
          {"cache_front", point.cache_front},
          {"cost_front", point.cost_front}};
}

Json sweep_json(const ReportSweep& sweep) {
  return {{"points", list_json(sweep.points, point_json)},
          {"tolerances", list_json(sweep.tolerances, tolerance_json)},
          {"chosen", optional_json(sweep.chosen)},
          {"trace", sweep.has_traffic ? Json(sweep.trace) : Json()},
          {"cost_unit", sweep.cost_unit},
          {"findings", sweep.findings}};
}

Json json(const ReportData& data) { return list_json(data.sweeps, sweep_json); }

std::string point_csv(const ReportSweep& sweep, const ReportSweepPoint& point) {
  std::string text;
  const auto line = [&](const std::string& metric, double value, const std::string& error) {
    text += csv_line({.section = "sweep",
                      .role = point.role,
                      .n_kv_heads = point.n_kv_heads,
                      .metric = metric,
                      .x = csv_number(static_cast<double>(point.kv_bytes_per_token)),
                      .value = csv_number(value),
                      .error = error});
  };
  const auto measured = [&](const std::string& metric, const Measured& value) {
    line(metric, value.value, value.error ? csv_number(*value.error) : "");
  };
  measured("mean_loss_increase", point.increase);
  for (const ReportLossIncrease& increase : point.losses) {
    measured(increase.text + ":loss_increase", increase.loss);
    if (increase.kl) measured(increase.text + ":kl", *increase.kl);
  }
  for (const ReportToleranceCheck& check : point.checks) {
    const ReportTolerance& tolerance = check.tolerance;
    const std::string name =
        tolerance.name + ":" + (tolerance.metric.empty() ? tolerance.kind : tolerance.metric);
    measured(name + "_lost", check.lost);
    line(name + "_lost_upper", check.high, "");
    line(name + "_excess", check.excess, "");
  }
  if (!point.traffic) return text;
  line("concurrency_mean", point.traffic->concurrency, "");
  line("ttft_s_p99", point.traffic->ttft_p99_s, "");
  line("tokens_per_s", point.traffic->tokens_per_s, "");
  if (point.traffic->cost) {
    const bool price = sweep.cost_unit == "price";
    line(price ? "cost_per_million_tokens" : "device_hours_per_million_tokens",
         *point.traffic->cost, "");
  }
  return text;
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportSweep& sweep : data.sweeps) {
    for (const ReportSweepPoint& point : sweep.points) text += point_csv(sweep, point);
  }
  return text;
}

}  // namespace

const ResultKind kinds::sweep{.name = "sweep",
                              .format = "regroup sweep/1",
                              .add = add,
                              .key = "sweeps",
                              .json = json,
                              .csv = csv};

}  // namespace regroup
