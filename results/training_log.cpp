#include "regroup/results/training_log.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/results/fields.h"

namespace regroup {
namespace {

std::optional<double> number_where_known(const Json& json, const char* key) {
  return json.contains(key) && json.at(key).is_number() ? std::optional(json.at(key).get<double>())
                                                        : std::nullopt;
}

Json text_or_null(const std::string& text) { return text.empty() ? Json() : Json(text); }

Json start_conversion_json(const std::optional<StartConversion>& conversion) {
  if (!conversion) return {};
  return {{"method", conversion->method},
          {"calibrated", conversion->calibrated},
          {"n_kv_heads",
           {{"before", conversion->kv_heads_before}, {"after", conversion->kv_heads_after}}}};
}

std::optional<StartConversion> read_start_conversion(const Json& start, const std::string& where) {
  const Json& json = object_in(start, "conversion", where);
  if (json.empty()) return std::nullopt;
  const JsonFields fields(json, where);
  const JsonFields heads(object_in(json, "n_kv_heads", where), where);
  return StartConversion{.method = text_of(fields, "method"),
                         .calibrated = fields.boolean("calibrated").value_or(false),
                         .kv_heads_before = count_of(heads, "before"),
                         .kv_heads_after = count_of(heads, "after")};
}

TrainingStart read_start(const Json& json, const std::string& where) {
  require_format(json, kTrainingLogFormat, where);
  const JsonFields fields(json, where);
  return {.model = text_of(fields, "model"),
          .conversion = read_start_conversion(json, where),
          .n_kv_heads = count_of(fields, "n_kv_heads"),
          .n_params = count_of(fields, "n_params"),
          .n_trainable = count_of(fields, "n_trainable"),
          .teacher = text_of(fields, "teacher"),
          .kl_weight = fields.number("kl_weight"),
          .temperature = fields.number("temperature"),
          .tokens_per_step = count_of(fields, "tokens_per_step"),
          .steps = count_of(fields, "steps"),
          .learning_rate = fields.number("lr").value_or(0),
          .warmup_steps = count_of(fields, "warmup"),
          .rates_chosen = text_of(fields, "rates_chosen"),
          .seq_len = count_of(fields, "seq_len"),
          .flops_per_token = fields.number("flops_per_token").value_or(0),
          .valid = text_of(fields, "valid"),
          .val_loss = fields.number("val_loss")};
}

StepMetrics read_step(const JsonFields& fields, int64_t step, int64_t tokens, double loss) {
  return {.step = step,
          .tokens = tokens,
          .loss = loss,
          .ce = fields.number("ce"),
          .kl = fields.number("kl"),
          .learning_rate = fields.number("lr").value_or(0),
          .grad_norm = fields.number("grad_norm").value_or(0),
          .tokens_per_s = fields.number("tokens_per_s").value_or(0),
          .step_s = fields.number("step_s").value_or(0),
          .val_loss = fields.number("val_loss")};
}

/// After a resume, steps that were not yet saved are done, and logged, again: the later ones hold.
template <typename Point>
void forget_from(std::vector<Point>& points, int64_t step) {
  while (!points.empty() && points.back().step >= step) points.pop_back();
}

void read_line(const Json& json, const std::string& where, TrainingLog& log) {
  const JsonFields fields(json, where);
  if (json.value("event", Json()) == "start") log.start = read_start(json, where);
  const auto step = fields.integer("step", 0, INT64_MAX);
  if (!step) return;
  const int64_t seen = log.steps.empty() ? 0 : log.steps.back().tokens;
  const int64_t tokens = optional_count(fields, "tokens").value_or(seen);
  if (const auto loss = fields.number("loss"); loss && !json.contains("event")) {
    forget_from(log.steps, *step);
    log.steps.push_back(read_step(fields, *step, tokens, *loss));
    log.seconds += log.steps.back().step_s;
  }
  if (const auto loss = fields.number("val_loss")) {
    forget_from(log.validations, *step);
    log.validations.push_back({*step, *step == 0 ? 0 : tokens, *loss});
  }
}

}  // namespace

Json to_json(const StepMetrics& m) {
  Json json = {{"step", m.step},           {"tokens", m.tokens},
               {"loss", m.loss},           {"lr", m.learning_rate},
               {"grad_norm", m.grad_norm}, {"tokens_per_s", m.tokens_per_s},
               {"step_s", m.step_s}};
  if (m.ce) json["ce"] = *m.ce;
  if (m.kl) json["kl"] = *m.kl;
  if (m.val_loss) json["val_loss"] = *m.val_loss;
  return json;
}

StepMetrics step_metrics_of(const Json& json) {
  // JSON has no number for a loss that is not finite.
  const auto number = [&](const char* key) {
    return json.at(key).is_null() ? std::numeric_limits<double>::quiet_NaN()
                                  : json.at(key).get<double>();
  };
  return {.step = json.at("step").get<int64_t>(),
          .tokens = json.at("tokens").get<int64_t>(),
          .loss = number("loss"),
          .ce = number_where_known(json, "ce"),
          .kl = number_where_known(json, "kl"),
          .learning_rate = number("lr"),
          .grad_norm = number("grad_norm"),
          .tokens_per_s = number("tokens_per_s"),
          .step_s = number("step_s"),
          .val_loss = number_where_known(json, "val_loss")};
}

Json training_start_json(const TrainingStart& start) {
  return {{"format", kTrainingLogFormat},
          {"model", start.model},
          {"conversion", start_conversion_json(start.conversion)},
          {"n_kv_heads", start.n_kv_heads},
          {"n_params", start.n_params},
          {"n_trainable", start.n_trainable},
          {"teacher", text_or_null(start.teacher)},
          {"kl_weight", optional_json(start.kl_weight)},
          {"temperature", optional_json(start.temperature)},
          {"tokens_per_step", start.tokens_per_step},
          {"steps", start.steps},
          {"lr", start.learning_rate},
          {"warmup", start.warmup_steps},
          {"rates_chosen", text_or_null(start.rates_chosen)},
          {"seq_len", start.seq_len},
          {"flops_per_token", start.flops_per_token},
          {"valid", text_or_null(start.valid)},
          {"val_loss", optional_json(start.val_loss)}};
}

TrainingLog read_training_log(std::string_view lines, const std::string& path) {
  TrainingLog log;
  for (size_t number = 1; !lines.empty(); ++number) {
    const size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    lines.remove_prefix(std::min(lines.size(), end == std::string_view::npos ? end : end + 1));
    if (line.empty() || (lines.empty() && !Json::accept(line))) continue;  // torn
    const std::string where = fmt::format("{}:{}", path, number);
    const Json json = parse_strict_json(line, where, kConfigJson);
    if (!json.is_object()) {
      throw CheckpointError(
          {.code = "JSON_SYNTAX", .message = "every line must be an object", .path = where});
    }
    read_line(json, where, log);
  }
  return log;
}

}  // namespace regroup
