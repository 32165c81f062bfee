// What the KV cache needs, from plan.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

bool matches(const Json& file) {
  return !file.contains("format") && has_field(file, "options", Json::value_t::array) &&
         has_field(file, "model", Json::value_t::object);
}

ReportPlanOption read_option(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  ReportPlanOption option;
  option.n_kv_heads = count_of(fields, "n_kv_heads");
  option.kv_bytes_per_token = count_of(fields, "kv_bytes_per_token");
  option.kv_bytes = count_of(fields, "kv_bytes");
  option.weight_bytes = fields.integer("weight_bytes", 0, INT64_MAX);
  option.total_bytes = fields.integer("total_bytes", 0, INT64_MAX);
  option.fits = fields.boolean("fits");
  option.max_batch = fields.integer("max_batch", 0, INT64_MAX);
  option.max_context = fields.integer("max_context", 0, INT64_MAX);
  return option;
}

void add(const Json& json, const std::string& path, ReportData& data) {
  const JsonFields fields(json, path);
  const JsonFields model(object_in(json, "model"), path);
  ReportPlan plan;
  plan.architecture = text_of(model, "architecture");
  plan.n_kv_heads = count_of(model, "n_kv_heads");
  plan.context = count_of(fields, "context");
  plan.batch = count_of(fields, "batch");
  plan.kv_dtype = text_of(fields, "kv_dtype");
  plan.gpu_memory_bytes = fields.integer("gpu_memory_bytes", 0, INT64_MAX);
  plan.recommended = fields.integer("recommended_kv_heads", 0, INT64_MAX);
  plan.why = text_of(fields, "why");
  plan.warnings = texts_in(json, "warnings");
  for (const Json& option : objects_in(json, "options", path)) {
    plan.options.push_back(read_option(option, path));
  }
  data.plans.push_back(std::move(plan));
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
                               {"weight_bytes", optional_json(option.weight_bytes)},
                               {"total_bytes", optional_json(option.total_bytes)},
                               {"fits", optional_json(option.fits)},
                               {"max_batch", optional_json(option.max_batch)},
                               {"max_context", optional_json(option.max_context)}});
  }
  return json;
}

Json json(const ReportData& data) { return list_json(data.plans, plan_json); }

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

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportPlan& plan : data.plans) text += plan_csv(plan);
  return text;
}

}  // namespace

const ResultKind kinds::plan{
    .name = "plan", .matches = matches, .add = add, .key = "plans", .json = json, .csv = csv};

}  // namespace regroup
