// The metrics.jsonl of uptrain.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "regroup/base/error.h"
#include "report_data.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

/// Everything in a log, before the curve is thinned.
struct Log {
  ReportUptraining run;
  std::vector<CurvePoint> train;
};

void read_conversion(const Json& json, const std::string& where, ReportUptraining& run) {
  const JsonFields fields(json, where);
  run.method = fields.string("method").value_or("");
  run.calibrated = fields.boolean("calibrated").value_or(false);
  if (const Json* heads = fields.find("n_kv_heads")) {
    run.parent_kv_heads = JsonFields(*heads, where).integer("before", 0, INT64_MAX).value_or(0);
  }
}

void read_start(const Json& json, const std::string& where, ReportUptraining& run) {
  const JsonFields fields(json, where);
  run.model = fields.string("model").value_or(run.model);
  run.teacher = fields.string("teacher").value_or("");
  run.kl_weight = fields.number("kl_weight");
  run.temperature = fields.number("temperature");
  run.valid_text = fields.string("valid").value_or("");
  run.seq_len = fields.integer("seq_len", 0, INT64_MAX).value_or(0);
  if (const Json* conversion = fields.find("conversion")) read_conversion(*conversion, where, run);
  run.n_kv_heads = fields.integer("n_kv_heads", 0, INT64_MAX).value_or(run.n_kv_heads);
  run.n_params = fields.integer("n_params", 0, INT64_MAX).value_or(run.n_params);
  run.planned_steps = fields.integer("steps", 0, INT64_MAX).value_or(run.planned_steps);
}

/// After a resume, steps that were not yet saved are done, and logged, again: the later ones hold.
void forget_from(std::vector<CurvePoint>& points, int64_t step) {
  while (!points.empty() && points.back().step >= step) points.pop_back();
}

void read_line(const Json& json, const std::string& where, Log& log) {
  const JsonFields fields(json, where);
  if (json.value("event", Json()) == "start") read_start(json, where, log.run);
  const auto step = fields.integer("step", 0, INT64_MAX);
  if (!step) return;
  const int64_t tokens = fields.integer("tokens", 0, INT64_MAX).value_or(log.run.tokens);
  if (const auto loss = fields.number("loss"); loss && !json.contains("event")) {
    forget_from(log.train, *step);
    // With a teacher the loss is a divergence; only "ce" compares with the validation loss.
    log.train.push_back({*step, tokens, fields.number("ce").value_or(*loss)});
    log.run.steps = *step;
    log.run.tokens = tokens;
    log.run.seconds += fields.number("step_s").value_or(0);
  }
  if (const auto loss = fields.number("val_loss")) {
    forget_from(log.run.valid, *step);
    log.run.valid.push_back({*step, *step == 0 ? 0 : tokens, *loss});
  }
}

/// True if the line could be read; a torn one cannot.
bool parses(std::string_view line) { return Json::accept(line); }

Json curve_json(const std::vector<CurvePoint>& points) {
  Json json = Json::array();
  for (const CurvePoint& point : points) {
    json.push_back({{"step", point.step}, {"tokens", point.tokens}, {"loss", point.loss}});
  }
  return json;
}

Json uptraining_json(const ReportUptraining& run) {
  return {{"path", run.path},
          {"model", run.model},
          {"method", run.method.empty() ? Json() : Json(run.method)},
          {"calibrated", run.calibrated},
          {"teacher", run.teacher.empty() ? Json() : Json(run.teacher)},
          {"kl_weight", optional_json(run.kl_weight)},
          {"temperature", optional_json(run.temperature)},
          {"n_kv_heads", run.n_kv_heads},
          {"n_params", run.n_params},
          {"steps", run.steps},
          {"planned_steps", run.planned_steps},
          {"tokens", run.tokens},
          {"seconds", run.seconds},
          {"loss", curve_json(run.train)},
          {"val_loss", curve_json(run.valid)}};
}

Json json(const ReportData& data) { return list_json(data.uptrainings, uptraining_json); }

std::string curve_csv(const ReportUptraining& run, const char* metric,
                      const std::vector<CurvePoint>& points) {
  std::string csv;
  for (const CurvePoint& point : points) {
    csv += csv_line({.section = "uptraining",
                     .model = run.model,
                     .role = "uptrained",
                     .n_kv_heads = run.n_kv_heads,
                     .metric = metric,
                     .x = std::to_string(point.tokens),
                     .value = csv_number(point.loss),
                     .n = std::to_string(point.step)});
  }
  return csv;
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportUptraining& run : data.uptrainings) {
    text += curve_csv(run, "loss", run.train) + curve_csv(run, "val_loss", run.valid);
  }
  return text;
}

}  // namespace

bool is_metrics_log(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const Json first = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!first.is_object()) return false;
  return first.contains("event") || (first.contains("step") && first.contains("loss"));
}

void add_uptraining(std::string_view lines, const std::string& path, ReportData& data) {
  Log log;
  log.run.path = path;
  for (size_t number = 1; !lines.empty(); ++number) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(lines.size(), end == std::string_view::npos ? end : end + 1));
    if (line.empty() || (lines.empty() && !parses(line))) continue;
    const std::string where = fmt::format("{}:{}", path, number);
    const Json json = parse_strict_json(line, where, kConfigJson);
    if (!json.is_object()) {
      throw CheckpointError(
          {.code = "JSON_SYNTAX", .message = "every line must be an object", .path = where});
    }
    read_line(json, where, log);
  }
  log.run.train = thin_curve(log.train, kCurvePoints);
  data.uptrainings.push_back(std::move(log.run));
}

std::vector<CurvePoint> thin_curve(const std::vector<CurvePoint>& points, size_t max) {
  if (points.size() <= max) return points;
  const size_t bucket = (points.size() + max - 1) / max;
  std::vector<CurvePoint> thin;
  for (size_t begin = 0; begin < points.size(); begin += bucket) {
    const size_t end = std::min(begin + bucket, points.size());
    double sum = 0;
    for (size_t i = begin; i < end; ++i) sum += points[i].loss;
    thin.push_back(
        {points[end - 1].step, points[end - 1].tokens, sum / static_cast<double>(end - begin)});
  }
  return thin;
}

// Its file is no JSON: report_data.cpp asks is_metrics_log() and calls add_uptraining().
const ResultKind kinds::uptraining{
    .name = "uptraining log", .key = "uptraining", .json = json, .csv = csv};

}  // namespace regroup
