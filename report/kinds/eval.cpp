// What eval measured.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "kinds/fields.h"
#include "kinds/questions.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

bool is_model_result(const Json& json) {
  return json.is_object() && has_field(json, "results", Json::value_t::object) &&
         has_field(json, "regroup", Json::value_t::object);
}

bool is_eval(const Json& json) {
  if (is_model_result(json)) return true;
  return has_field(json, "models", Json::value_t::array) && !json["models"].empty() &&
         std::all_of(json["models"].begin(), json["models"].end(), is_model_result);
}

std::optional<double> number_in(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  return found != json.end() && found->is_number() ? std::optional(found->get<double>())
                                                   : std::nullopt;  // "N/A", or absent
}

/// Files in the harness's own layout name their stream beside the scores alone.
int64_t tokens_of(const JsonFields& result, const JsonFields& config) {
  if (result.has("tokens")) return count_of(result, "tokens");
  return std::max<int64_t>(0, count_of(config, "stream_tokens") - 1);
}

/// "torch.float32", as the harness writes it, is "f32".
std::string short_dtype(const std::string& name) {
  if (name == "torch.float32") return "f32";
  if (name == "torch.bfloat16") return "bf16";
  return name == "torch.float16" ? "f16" : name;
}

ReportScore read_score(const std::string& name, const Json& result, const Json& model,
                       const std::string& path) {
  const JsonFields fields(result, path);
  const JsonFields config(object_in(object_in(model, "configs"), name), path);
  const JsonFields samples(object_in(object_in(model, "n-samples"), name), path);
  ReportScore score;
  score.on = {
      .text = name, .tokens = tokens_of(fields, config), .seq_len = count_of(config, "seq_len")};
  score.windows = count_of(samples, "effective");
  const Json& damage = object_in(object_in(model, "regroup"), "damage");
  score.profile = read_damage_profile(object_in(damage, name), path);
  const Json& curves = object_in(object_in(model, "regroup"), "fidelity");
  score.curve = read_fidelity_curve(object_in(curves, name), path);
  for (size_t m = 0; m < kMetricCount; ++m) {
    const std::string metric = kMetricNames[m];
    if (const auto value = number_in(result, metric + ",none")) {
      score.metrics[m] = {*value, number_in(result, metric + "_stderr,none")};
    }
  }
  return score;
}

ReportModel read_model(const Json& json, const std::string& path) {
  const JsonFields top(json, path);
  const JsonFields about(object_in(json, "regroup"), path);
  const JsonFields config(object_in(json, "config"), path);
  ReportModel model;
  model.role = text_of(about, "role");
  model.name = text_of(top, "model_name");
  model.architecture = text_of(about, "architecture");
  model.dtype = short_dtype(text_of(config, "model_dtype"));
  model.digest = text_of(about, "digest");
  model.started_from = text_of(about, "started_from");
  model.version = text_of(about, "version");
  model.libtorch = text_of(about, "libtorch");
  model.n_layers = count_of(about, "n_layers");
  model.n_heads = count_of(about, "n_heads");
  model.n_kv_heads = count_of(about, "n_kv_heads");
  model.n_params = count_of(about, "n_params");
  model.kv_bytes_per_token = count_of(about, "kv_bytes_per_token");
  for (const auto& [name, result] : json.at("results").items()) {
    if (!result.is_object()) wrong_type(path, "every entry of \"results\" must be an object");
    if (is_text_result(name, result, json))
      model.scores.push_back(read_score(name, result, json, path));
  }
  return model;
}

/// What the later evaluation of the same model knows more.
void merge_scores(ReportModel& known, const ReportModel& other) {
  for (const ReportScore& score : other.scores) {
    const auto same = std::find_if(known.scores.begin(), known.scores.end(),
                                   [&](const ReportScore& s) { return s.on == score.on; });
    if (same == known.scores.end()) {
      known.scores.push_back(score);
      continue;
    }
    for (size_t m = 0; m < kMetricCount; ++m) {
      if (!same->metrics[m]) same->metrics[m] = score.metrics[m];
    }
    if (same->profile.positions.empty()) same->profile = score.profile;
    if (same->curve.kl.empty()) same->curve = score.curve;
  }
}

/// A model that several files evaluate is one model; "baseline" says more than "model".
void add_model(ReportModel model, ReportData& data) {
  for (ReportModel& known : data.models) {
    const bool same =
        known.name == model.name && known.digest == model.digest && known.dtype == model.dtype;
    if (!same) continue;
    if (known.role == "model" || model.role == "baseline") known.role = model.role;
    return merge_scores(known, model);
  }
  data.models.push_back(std::move(model));
}

void add_result(const Json& json, const std::string& path, ReportData& data) {
  add_model(read_model(json, path), data);
  add_questions(json, path, data);
}

void add(const Json& json, const std::string& path, ReportData& data) {
  if (!json.contains("models")) return add_result(json, path, data);
  for (const Json& model : json["models"]) add_result(model, path, data);
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
  if (!score.curve.kl.empty()) json["fidelity"] = fidelity_curve_json(score.curve);
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

/// Quantiles over the tokens of a text; x is the share below.
std::string curve_csv(const ReportModel& model, const ReportScore& score, const char* metric,
                      const std::vector<QuantileEstimate>& quantiles) {
  std::string csv;
  for (size_t i = 0; i < quantiles.size(); ++i) {
    if (std::isnan(quantiles[i].value)) continue;
    csv += csv_line({.section = "fidelity",
                     .model = model.name,
                     .role = model.role,
                     .n_kv_heads = model.n_kv_heads,
                     .metric = score.on.text + ":" + metric,
                     .x = csv_number(score.curve.shares[i]),
                     .value = csv_number(quantiles[i].value),
                     .n = std::to_string(score.curve.tokens)});
  }
  return csv;
}

std::string csv(const ReportData& data) {
  std::string text;
  for (const ReportModel& model : data.models) text += scores_csv(model);
  for (const ReportModel& model : data.models) {
    for (const ReportScore& score : model.scores) {
      text += curve_csv(model, score, "kl", score.curve.kl);
      text += curve_csv(model, score, "delta_p", score.curve.delta_p);
    }
  }
  return text;
}

Json json(const ReportData& data) { return list_json(data.models, model_json); }

}  // namespace

const ResultKind kinds::eval{
    .name = "eval", .matches = is_eval, .add = add, .key = "models", .json = json, .csv = csv};

}  // namespace regroup
