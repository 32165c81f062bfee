#include "report_document.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "recovery.h"
#include "regroup/base/human_number.h"
#include "regroup/version.h"
#include "writers/escape.h"

namespace regroup {

ModelRole parse_role(const std::string& role) {
  if (role == "baseline") return ModelRole::kBaseline;
  if (role == "converted") return ModelRole::kConverted;
  return role == "uptrained" ? ModelRole::kUptrained : ModelRole::kModel;
}

const char* role_label(ModelRole role) {
  switch (role) {
    case ModelRole::kBaseline:
      return "before";
    case ModelRole::kConverted:
      return "converted";
    case ModelRole::kUptrained:
      return "uptrained";
    case ModelRole::kControl:
      return "control";
    default:
      return "model";
  }
}

int role_colour(ModelRole role) {
  if (role == ModelRole::kBaseline) return 1;
  if (role == ModelRole::kConverted) return 2;
  if (role == ModelRole::kControl) return 5;
  return role == ModelRole::kUptrained ? 3 : 4;
}

ModelRole role_in(const ReportData& data, const std::string& role, int64_t n_kv_heads) {
  const ModelRole own = parse_role(role);
  const ReportModel* baseline = find_baseline(data);
  const bool same_heads = baseline != nullptr && baseline->n_kv_heads == n_kv_heads;
  return own == ModelRole::kUptrained && same_heads ? ModelRole::kControl : own;
}

ModelRole role_in(const ReportData& data, const ReportModel& model) {
  return role_in(data, model.role, model.n_kv_heads);
}

const ReportModel* find_baseline(const ReportData& data) {
  for (const ReportModel& model : data.models) {
    if (model.role == "baseline") return &model;
  }
  return nullptr;
}

const ReportModel* find_converted(const ReportData& data, int64_t n_kv_heads) {
  for (const ReportModel& model : data.models) {
    if (model.role == "converted" && model.n_kv_heads == n_kv_heads) return &model;
  }
  return nullptr;
}

namespace {

/// Of several nobody knows which one is meant.
const ReportModel* only_converted(const ReportData& data, int64_t n_kv_heads) {
  const auto several =
      std::count_if(data.models.begin(), data.models.end(), [&](const auto& model) {
        return model.role == "converted" && model.n_kv_heads == n_kv_heads;
      });
  return several == 1 ? find_converted(data, n_kv_heads) : nullptr;
}

}  // namespace

const ReportModel* find_converted(const ReportData& data, const ReportUptraining& run) {
  for (const ReportModel& model : data.models) {
    if (model.role == "converted" && model.name == run.model) return &model;
  }
  return only_converted(data, run.n_kv_heads);
}

const ReportModel* find_converted(const ReportData& data, const ReportModel& uptrained) {
  if (!uptrained.started_from.empty()) {  // as eval pairs them
    const auto found = std::find_if(data.models.begin(), data.models.end(), [&](const auto& model) {
      return model.role == "converted" && model.digest == uptrained.started_from;
    });
    return found == data.models.end() ? nullptr : &*found;
  }
  const ReportUptraining* run = find_uptraining(data, uptrained);
  return run != nullptr ? find_converted(data, *run) : only_converted(data, uptrained.n_kv_heads);
}

const ReportUptraining* find_uptraining(const ReportData& data, const ReportModel& model) {
  std::vector<const ReportUptraining*> candidates;
  for (const ReportUptraining& run : data.uptrainings) {
    if (run.n_kv_heads == model.n_kv_heads) candidates.push_back(&run);
  }
  if (candidates.size() == 1) return candidates[0];
  for (const ReportUptraining* run : candidates) {  // OUT/metrics.jsonl made OUT/model
    const size_t slash = run->path.rfind('/');
    const std::string folder = slash == std::string::npos ? "" : run->path.substr(0, slash + 1);
    if (!folder.empty() && model.name.starts_with(folder)) return run;
  }
  return nullptr;
}

std::vector<EvaluatedOn> evaluations(const ReportData& data) {
  std::vector<EvaluatedOn> all;
  for (const ReportModel& model : data.models) {
    for (const ReportScore& score : model.scores) {
      if (std::find(all.begin(), all.end(), score.on) == all.end()) all.push_back(score.on);
    }
  }
  return all;
}

const ReportScore* find_score(const ReportModel& model, const EvaluatedOn& on) {
  for (const ReportScore& score : model.scores) {
    if (score.on == on) return &score;
  }
  return nullptr;
}

bool no_measurable_gap(const ReportScore& converted) {
  const auto& delta = converted[Metric::kLossDelta];
  return delta && delta->error && std::abs(delta->value) <= 2 * *delta->error;
}

std::string short_number(double value) {
  if (!std::isfinite(value)) return kNothing;
  return fmt::format("{:.4g}", value + 0.0);
}

std::string measured_text(const std::optional<Measured>& value, double factor, const char* unit) {
  if (!value || !std::isfinite(value->value)) return kNothing;
  const double number = value->value * factor;
  if (!value->error || !std::isfinite(*value->error)) return short_number(number) + unit;
  const double error = *value->error * factor;
  if (!(error > 0)) return short_number(number) + unit;
  const int decimals = std::clamp(1 - static_cast<int>(std::floor(std::log10(error))), 0, 9);
  return fmt::format("{} ± {:.{}f}{}", without_zero_sign(fmt::format("{:.{}f}", number, decimals)),
                     error, decimals, unit);
}

Cell measured_cell(const std::optional<Measured>& value, double factor, const char* unit) {
  const std::string text = measured_text(value, factor);
  const size_t sign = text.find(" ± ");
  if (sign == std::string::npos) return {text == kNothing ? text : text + unit};
  return {.text = text.substr(0, sign) + unit, .note = text.substr(sign + 1)};
}

std::string memory_share(int64_t part, int64_t whole) {
  if (part == whole) return "the same memory";
  if (part * 2 == whole) return "half the memory";
  if (part * 4 == whole) return "a quarter of the memory";
  if (part * 8 == whole) return "an eighth of the memory";
  const double share = 100.0 * static_cast<double>(part) / static_cast<double>(whole);
  return fmt::format("{:.3g} % of the memory", share);
}

std::string grouped_digits(int64_t value) {
  std::string digits = std::to_string(value);
  for (auto at = static_cast<int64_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3) {
    digits.insert(static_cast<size_t>(at), ",");
  }
  return digits;
}

std::string heads_text(int64_t n_kv_heads) {
  return fmt::format("{} KV head{}", n_kv_heads, n_kv_heads == 1 ? "" : "s");
}

std::string shorten_name(const std::string& name) { return shorten(name, 60); }

ReportDocument compose_report(const ReportData& data) {
  ReportDocument document;
  document.findings = compose_findings(data);
  document.title = data.models.empty() || document.findings.size() != 1
                       ? "From multi-head to grouped-query attention"
                       : document.findings[0].title;
  if (!data.models.empty()) {
    const ReportModel& first = data.models.front();
    document.subtitle = fmt::format("{}, {} layers, {} query heads", first.architecture,
                                    first.n_layers, first.n_heads);
  }
#define REGROUP_ENTRY(name) sections::name(data, document.sections);
#include "regroup/report_sections.inc"
#undef REGROUP_ENTRY
  const bool read_off = !find_recoveries(data).empty();
  document.footer = fmt::format(
      "Made by regroup {} from {} file{}. Every number is one that a result file holds{}{}.",
      kVersion, data.sources.size(), data.sources.size() == 1 ? "" : "s",
      read_off ? ", or is read off a curve of one" : "",
      data.answers.empty() ? "" : ", or counts answers of one");
  return document;
}

}  // namespace regroup
