// What the KV cache needs, from plan.
#include <nlohmann/json.hpp>

#include "kinds/fields.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

void add(const Json& json, const std::string& path, ReportData& data) {
  data.plans.push_back(read_plan(json, path));
}

Json plan_json(const PlanResult& plan) {
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
  for (const PlanOption& option : plan.options) {
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

std::string plan_csv(const PlanResult& plan) {
  std::string csv;
  for (const PlanOption& option : plan.options) {
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
  for (const PlanResult& plan : data.plans) text += plan_csv(plan);
  return text;
}

}  // namespace

const ResultKind kinds::plan{
    .name = "plan", .format = kPlanFormat, .add = add, .key = "plans", .json = json, .csv = csv};

}  // namespace regroup
