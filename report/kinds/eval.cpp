// What eval measured.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>
#include <vector>

#include "kinds/fields.h"
#include "kinds/questions.h"
#include "kinds/result_kind.h"
#include "writers/csv_row.h"

namespace regroup {
namespace {

using NamedMetrics = std::vector<std::pair<std::string, Measured>>;

ReportScore report_score(const TextResult& text) {
  return {.on = {.text = text.name, .tokens = text.tokens, .seq_len = text.seq_len},
          .windows = text.windows,
          .metrics = text.metrics,
          .profile = text.profile.value_or(DamageProfile()),
          .curve = text.fidelity.value_or(FidelityCurve())};
}

ReportModel report_model(const ModelResult& result) {
  ReportModel model{.role = result.role,
                    .name = result.name,
                    .architecture = result.architecture,
                    .dtype = result.dtype,
                    .digest = result.digest,
                    .started_from = result.started_from,
                    .version = result.version,
                    .libtorch = result.libtorch,
                    .n_layers = result.n_layers,
                    .n_heads = result.n_heads,
                    .n_kv_heads = result.n_kv_heads,
                    .n_params = result.n_params,
                    .kv_bytes_per_token = result.kv_bytes_per_token,
                    .scores = {}};
  for (const TextResult& text : result.texts) model.scores.push_back(report_score(text));
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
    for (const Metric& metric : score.metrics) {
      const std::string title = metric_title(metric.name, metric.filter);
      if (!(*same)[title] && score[title]) same->metrics.push_back(metric);
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

void add(const Json& json, const std::string& path, ReportData& data) {
  for (const ModelResult& result : read_evaluation(json, path).models) {
    add_model(report_model(result), data);
    add_questions(result, path, data);
  }
}

/// What a report shows of a score: the known metrics in its order, then those that it does not know.
NamedMetrics shown_metrics(const ReportScore& score) {
  NamedMetrics shown;
  for (const TextMetric& known : text_metrics()) {
    const std::string name(known.name);
    if (const auto found = score[name]; found && !known.restates) shown.emplace_back(name, *found);
  }
  for (const Metric& metric : score.metrics) {
    const std::string title = metric_title(metric.name, metric.filter);
    const bool known = find_text_metric(title) != nullptr;
    if (known || !std::isfinite(metric.value)) continue;
    shown.emplace_back(title, Measured{metric.value, metric.error});
  }
  return shown;
}

Json score_json(const ReportScore& score) {
  Json json = {{"text", score.on.text},
               {"tokens", score.on.tokens},
               {"seq_len", score.on.seq_len},
               {"windows", score.windows}};
  for (const auto& [name, measured] : shown_metrics(score)) {
    json[name] = {{"value", measured.value}, {"stderr", optional_json(measured.error)}};
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
    for (const auto& [name, measured] : shown_metrics(score)) {
      csv += csv_line({.section = "quality",
                       .model = model.name,
                       .role = model.role,
                       .n_kv_heads = model.n_kv_heads,
                       .metric = score.on.text + ":" + name,
                       .value = csv_number(measured.value),
                       .error = measured.error ? csv_number(*measured.error) : "",
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

const ResultKind kinds::eval{.name = "eval",
                             .format = kEvaluationFormat,
                             .add = add,
                             .key = "models",
                             .json = json,
                             .csv = csv};

}  // namespace regroup
