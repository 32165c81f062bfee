// The same data for programs: JSON, and one long table.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "escape.h"
#include "recovery.h"
#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"
#include "regroup/version.h"
#include "report_data.h"
#include "report_rows.h"

namespace regroup {
namespace {

template <typename T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

Json pairs_json(const NamedTexts& pairs) {
  Json json = Json::array();  // not an object: a name may come twice
  for (const auto& [name, text] : pairs) json.push_back({{"name", name}, {"value", text}});
  return json;
}

Json score_json(const ReportScore& score) {
  Json json = {{"text", score.on.text},
               {"tokens", score.on.tokens},
               {"seq_len", score.on.seq_len},
               {"windows", score.windows}};
  for (size_t m = 0; m < kMetricCount; ++m) {
    if (!score.metrics[m]) continue;
    json[kMetricNames[m]] = {{"value", score.metrics[m]->value},
                             {"stderr", optional_json(score.metrics[m]->error)}};
  }
  return json;
}

Json model_json(const ReportModel& model) {
  Json json = {{"role", model.role},
               {"name", model.name},
               {"architecture", model.architecture},
               {"dtype", model.dtype},
               {"digest", model.digest},
               {"version", model.version},
               {"libtorch", model.libtorch},
               {"n_layers", model.n_layers},
               {"n_heads", model.n_heads},
               {"n_kv_heads", model.n_kv_heads},
               {"n_params", model.n_params},
               {"kv_bytes_per_token", model.kv_bytes_per_token},
               {"scores", Json::array()}};
  for (const ReportScore& score : model.scores) json["scores"].push_back(score_json(score));
  return json;
}

Json plan_json(const ReportPlan& plan) {
  Json json = {{"architecture", plan.architecture},
               {"n_kv_heads", plan.n_kv_heads},
               {"context", plan.context},
               {"batch", plan.batch},
               {"kv_dtype", plan.kv_dtype},
               {"gpu_memory_bytes", optional_json(plan.gpu_memory_bytes)},
               {"recommended_kv_heads", optional_json(plan.recommended)},
               {"why", plan.why},
               {"warnings", plan.warnings},
               {"options", Json::array()}};
  for (const ReportPlanOption& option : plan.options) {
    json["options"].push_back({{"n_kv_heads", option.n_kv_heads},
                               {"kv_bytes_per_token", option.kv_bytes_per_token},
                               {"kv_bytes", option.kv_bytes},
                               {"weight_bytes", option.weight_bytes},
                               {"total_bytes", option.total_bytes},
                               {"fits", optional_json(option.fits)},
                               {"max_batch", optional_json(option.max_batch)},
                               {"max_context", optional_json(option.max_context)}});
  }
  return json;
}

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

Json sample_json(const ReportSample& sample) {
  Json json = {{"prompt", sample.prompt}, {"continuations", Json::array()}};
  for (const ReportContinuation& text : sample.continuations) {
    json["continuations"].push_back(
        {{"role", text.role}, {"n_kv_heads", text.n_kv_heads}, {"text", text.text}});
  }
  return json;
}

Json conversion_json(const ReportConversion& conversion) {
  return {{"path", conversion.path},
          {"model", conversion.model},
          {"method", conversion.method},
          {"version", conversion.version},
          {"n_kv_heads", {{"before", conversion.before}, {"after", conversion.after}}},
          {"arguments", pairs_json(conversion.arguments)},
          {"digests", pairs_json(conversion.digests)}};
}

Json run_json(const ReportRun& run) {
  Json json = {{"path", run.path},
               {"version", run.version},
               {"recipe", {{"path", run.recipe_path}, {"text", run.recipe_text}}},
               {"stages", Json::array()}};
  for (const ReportStage& stage : run.stages) {
    json["stages"].push_back({{"name", stage.name},
                              {"state", stage.state},
                              {"seconds", optional_json(stage.seconds)},
                              {"arguments", stage.arguments},
                              {"inputs", pairs_json(stage.inputs)}});
  }
  return json;
}

Json source_json(const ReportSource& source) {
  return {{"path", source.path}, {"kind", source.kind}, {"sha256", source.sha256}};
}

template <typename T>
Json list_json(const std::vector<T>& items, Json (*to_json)(const T&)) {
  Json json = Json::array();
  for (const T& item : items) json.push_back(to_json(item));
  return json;
}

std::string scores_csv(const ReportModel& model) {
  std::string csv;
  for (const ReportScore& score : model.scores) {
    for (size_t m = 0; m < kMetricCount; ++m) {
      if (!score.metrics[m]) continue;
      const auto& error = score.metrics[m]->error;
      csv += csv_line({.section = "quality",
                       .model = model.name,
                       .role = model.role,
                       .n_kv_heads = model.n_kv_heads,
                       .metric = score.on.text + ":" + kMetricNames[m],
                       .value = csv_number(score.metrics[m]->value),
                       .error = error ? csv_number(*error) : "",
                       .n = std::to_string(score.windows)});
    }
  }
  return csv;
}

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

std::string damage_csv(const DamageReport& report) {
  std::string csv;
  for (const DamageEntry& entry : report.entries) {
    const std::pair<const char*, const Measured*> values[] = {{"loss", &entry.loss},
                                                              {"loss_delta", &entry.loss_delta},
                                                              {"kl", &entry.kl},
                                                              {"top1_agreement", &entry.agreement}};
    for (const auto& [metric, value] : values) {
      csv += csv_line({.section = "damage",
                       .model = report.model,
                       .role = entry.method,
                       .n_kv_heads = entry.n_kv_heads,
                       .metric = report.text + ":" + metric,
                       .value = csv_number(value->value),
                       .error = value->error ? csv_number(*value->error) : "",
                       .n = std::to_string(report.tokens)});
    }
  }
  return csv;
}

std::string plan_csv(const ReportPlan& plan) {
  std::string csv;
  for (const ReportPlanOption& option : plan.options) {
    const auto add = [&](const char* metric, const std::optional<int64_t>& value) {
      if (!value) return;
      csv += csv_line({.section = "memory",
                       .model = plan.architecture,
                       .n_kv_heads = option.n_kv_heads,
                       .metric = metric,
                       .x = std::to_string(plan.context),
                       .value = std::to_string(*value),
                       .n = std::to_string(plan.batch)});
    };
    add("kv_bytes_per_token", option.kv_bytes_per_token);
    add("kv_bytes", option.kv_bytes);
    add("weight_bytes", option.weight_bytes);
    add("total_bytes", option.total_bytes);
    add("max_batch", option.max_batch);
    add("max_context", option.max_context);
  }
  return csv;
}

}  // namespace

std::string csv_number(double value) { return fmt::format("{}", value); }

/// Numbers are written as they are; only texts can be taken for formulas.
std::string csv_line(const CsvRow& row) {
  return fmt::format("{},{},{},{},{},{},{},{},{}\n", row.section, escape_csv(row.model),
                     escape_csv(row.role), row.n_kv_heads, escape_csv(row.metric), row.x, row.value,
                     row.error, row.n);
}

std::string report_json(const ReportData& data) {
  const Json json = {{"schema", "regroup-report/1"},
                     {"tool", {{"name", "regroup"}, {"version", kVersion}}},
                     {"verdict", report_verdict(data)},
                     {"models", list_json(data.models, model_json)},
                     {"damage", list_json(data.damages, damage_json)},
                     {"tasks", list_json(data.task_scores, task_score_json)},
                     {"plans", list_json(data.plans, plan_json)},
                     {"uptraining", list_json(data.uptrainings, uptraining_json)},
                     {"recovery", recoveries_json(data)},
                     {"samples", list_json(data.samples, sample_json)},
                     {"conversions", list_json(data.conversions, conversion_json)},
                     {"runs", list_json(data.runs, run_json)},
                     {"sources", list_json(data.sources, source_json)}};
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string report_csv(const ReportData& data) {
  std::string csv = "section,model,role,n_kv_heads,metric,x,value,stderr,n\n";
  for (const ReportModel& model : data.models) csv += scores_csv(model);
  for (const ReportUptraining& run : data.uptrainings) {
    csv += curve_csv(run, "loss", run.train) + curve_csv(run, "val_loss", run.valid);
  }
  for (const DamageReport& damage : data.damages) csv += damage_csv(damage);
  csv += task_scores_csv(data);
  csv += recoveries_csv(data);
  for (const ReportPlan& plan : data.plans) csv += plan_csv(plan);
  return csv;
}

}  // namespace regroup
