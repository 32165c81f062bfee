#include "regroup/results/plan.h"

#include <nlohmann/json.hpp>

#include "regroup/results/fields.h"

namespace regroup {
namespace {

Json plan_model_json(const PlanResult& plan) {
  return {{"family", plan.model.family},
          {"architecture", plan.architecture},
          {"n_layers", plan.model.n_layers},
          {"n_heads", plan.model.n_heads},
          {"n_kv_heads", plan.n_kv_heads},
          {"head_dim", plan.model.head_dim},
          {"hidden_size", plan.model.hidden_size},
          {"vocab_size", optional_json(plan.model.vocab_size)},
          {"n_params", optional_json(plan.model.n_params)},
          {"weight_bytes", optional_json(plan.model.weight_bytes)},
          {"attention", plan.model.attention}};
}

Json plan_option_json(const PlanOption& option) {
  Json json = {{"n_kv_heads", option.n_kv_heads},
               {"group_size", optional_json(option.group_size)},
               {"kv_bytes_per_token", option.kv_bytes_per_token},
               {"kv_bytes", option.kv_bytes},
               {"weight_bytes", optional_json(option.weight_bytes)},
               {"n_params", optional_json(option.n_params)},
               {"total_bytes", optional_json(option.total_bytes)},
               {"fits", optional_json(option.fits)},
               {"max_batch", optional_json(option.max_batch)},
               {"max_context", optional_json(option.max_context)}};
  if (const auto& device = option.device) {
    json["device"] = {{"n_kv_heads", device->n_kv_heads},
                      {"kv_bytes_per_token", device->kv_bytes_per_token},
                      {"kv_bytes", device->kv_bytes},
                      {"weight_bytes", optional_json(device->weight_bytes)},
                      {"total_bytes", optional_json(device->total_bytes)},
                      {"divides", device->divides}};
  }
  if (const auto& roofline = option.roofline) {
    json["roofline"] = {{"bytes", roofline->bytes},
                        {"flops", roofline->flops},
                        {"seconds", roofline->seconds},
                        {"tokens_per_s", roofline->tokens_per_s},
                        {"bound", roofline->memory_bound ? "memory" : "compute"}};
  }
  if (const auto& damage = option.damage) {
    json["damage"] = {
        {"method", damage->method}, {"loss_delta", damage->loss_delta}, {"kl", damage->kl}};
  }
  return json;
}

PlanDevice read_plan_device(const JsonFields& fields) {
  return {.n_kv_heads = count_of(fields, "n_kv_heads"),
          .kv_bytes_per_token = count_of(fields, "kv_bytes_per_token"),
          .kv_bytes = count_of(fields, "kv_bytes"),
          .weight_bytes = optional_count(fields, "weight_bytes"),
          .total_bytes = optional_count(fields, "total_bytes"),
          .divides = fields.boolean("divides").value_or(true)};
}

PlanRoofline read_plan_roofline(const JsonFields& fields) {
  return {.bytes = fields.number("bytes").value_or(0),
          .flops = fields.number("flops").value_or(0),
          .seconds = fields.number("seconds").value_or(0),
          .tokens_per_s = fields.number("tokens_per_s").value_or(0),
          .memory_bound = fields.string("bound").value_or("memory") == "memory"};
}

PlanOption read_plan_option(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  PlanOption option{.n_kv_heads = count_of(fields, "n_kv_heads"),
                    .kv_bytes_per_token = count_of(fields, "kv_bytes_per_token"),
                    .kv_bytes = count_of(fields, "kv_bytes"),
                    .weight_bytes = optional_count(fields, "weight_bytes"),
                    .total_bytes = optional_count(fields, "total_bytes"),
                    .fits = fields.boolean("fits"),
                    .max_batch = optional_count(fields, "max_batch"),
                    .max_context = optional_count(fields, "max_context"),
                    .group_size = optional_count(fields, "group_size"),
                    .n_params = optional_count(fields, "n_params")};
  const Json& device = object_in(json, "device", path);
  if (!device.empty()) option.device = read_plan_device(JsonFields(device, path));
  const Json& roofline = object_in(json, "roofline", path);
  if (!roofline.empty()) option.roofline = read_plan_roofline(JsonFields(roofline, path));
  const Json& damage = object_in(json, "damage", path);
  if (damage.empty()) return option;
  const JsonFields cost(damage, path);
  option.damage = PlanDamage{.method = text_of(cost, "method"),
                             .loss_delta = cost.number("loss_delta").value_or(0),
                             .kl = cost.number("kl").value_or(0)};
  return option;
}

PlanModel read_plan_model(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  return {.family = text_of(fields, "family"),
          .n_layers = count_of(fields, "n_layers"),
          .n_heads = count_of(fields, "n_heads"),
          .head_dim = count_of(fields, "head_dim"),
          .hidden_size = count_of(fields, "hidden_size"),
          .vocab_size = optional_count(fields, "vocab_size"),
          .n_params = optional_count(fields, "n_params"),
          .weight_bytes = optional_count(fields, "weight_bytes"),
          .attention = texts_in(json, "attention", path)};
}

}  // namespace

Json plan_result_json(const PlanResult& plan) {
  Json json = {{"format", kPlanFormat},
               {"model", plan_model_json(plan)},
               {"context", plan.context},
               {"batch", plan.batch},
               {"tp", plan.devices},
               {"gpu_memory_bytes", optional_json(plan.gpu_memory_bytes)},
               {"reserve_bytes", plan.reserve_bytes},
               {"kv_dtype", plan.kv_dtype},
               {"options", Json::array()},
               {"recommended_kv_heads", optional_json(plan.recommended)},
               {"why", plan.why},
               {"warnings", plan.warnings}};
  for (const PlanOption& option : plan.options) {
    json["options"].push_back(plan_option_json(option));
  }
  if (!plan.gpu.empty()) json["gpu"] = plan.gpu;
  if (!plan.damage_why.empty()) json["damage_why"] = plan.damage_why;
  if (plan.limit) {
    json["max_loss_increase"] = plan.limit->max_loss_increase;
    json["smallest_kv_heads"] = optional_json(plan.limit->smallest_kv_heads);
  }
  return json;
}

PlanResult read_plan(const Json& json, const std::string& path) {
  require_format(json, kPlanFormat, path);
  const JsonFields fields(json, path);
  const JsonFields model(object_in(json, "model", path), path);
  PlanResult plan{.architecture = text_of(model, "architecture"),
                  .n_kv_heads = count_of(model, "n_kv_heads"),
                  .context = count_of(fields, "context"),
                  .batch = count_of(fields, "batch"),
                  .kv_dtype = text_of(fields, "kv_dtype"),
                  .gpu_memory_bytes = optional_count(fields, "gpu_memory_bytes"),
                  .recommended = optional_count(fields, "recommended_kv_heads"),
                  .why = text_of(fields, "why"),
                  .warnings = texts_in(json, "warnings", path),
                  .options = {},
                  .model = read_plan_model(object_in(json, "model", path), path),
                  .devices = optional_count(fields, "tp").value_or(1),
                  .reserve_bytes = count_of(fields, "reserve_bytes"),
                  .gpu = text_of(fields, "gpu"),
                  .damage_why = text_of(fields, "damage_why")};
  for (const Json& option : objects_in(json, "options", path)) {
    plan.options.push_back(read_plan_option(option, path));
  }
  if (const auto limit = fields.number("max_loss_increase")) {
    plan.limit = PlanLimit{.max_loss_increase = *limit,
                           .smallest_kv_heads = optional_count(fields, "smallest_kv_heads")};
  }
  return plan;
}

}  // namespace regroup
