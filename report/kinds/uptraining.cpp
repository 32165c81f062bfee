// The metrics.jsonl of uptrain.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "regroup/results/training_log.h"
#include "report_data.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

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

/// With a teacher the loss is a divergence; only "ce" compares with the validation loss.
std::vector<CurvePoint> curve_of(const std::vector<StepMetrics>& steps) {
  std::vector<CurvePoint> points;
  for (const StepMetrics& step : steps) {
    points.push_back({step.step, step.tokens, step.ce.value_or(step.loss)});
  }
  return points;
}

void add_uptraining(std::string_view lines, const std::string& path, ReportData& data) {
  const TrainingLog log = read_training_log(lines, path);
  const StartConversion conversion = log.start.conversion.value_or(StartConversion());
  ReportUptraining run{.path = path,
                       .model = log.start.model,
                       .teacher = log.start.teacher,
                       .kl_weight = log.start.kl_weight,
                       .temperature = log.start.temperature,
                       .method = conversion.method,
                       .calibrated = conversion.calibrated,
                       .parent_kv_heads = conversion.kv_heads_before,
                       .valid_text = log.start.valid,
                       .seq_len = log.start.seq_len,
                       .n_kv_heads = log.start.n_kv_heads,
                       .n_params = log.start.n_params,
                       .planned_steps = log.start.steps,
                       .seconds = log.seconds,
                       .train = thin_curve(curve_of(log.steps), kCurvePoints),
                       .valid = {}};
  if (!log.steps.empty()) {
    run.steps = log.steps.back().step;
    run.tokens = log.steps.back().tokens;
  }
  for (const Validation& point : log.validations) {
    run.valid.push_back({point.step, point.tokens, point.loss});
  }
  data.uptrainings.push_back(std::move(run));
}

}  // namespace

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

const ResultKind kinds::uptraining{.name = "uptraining log",
                                   .format = kTrainingLogFormat,
                                   .add_lines = add_uptraining,
                                   .key = "uptraining",
                                   .json = json,
                                   .csv = csv};

}  // namespace regroup
