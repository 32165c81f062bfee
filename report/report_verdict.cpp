// The verdict: what the numbers say, in one or two sentences, and no more than they say.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compose.h"
#include "recall.h"
#include "recovery.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {
namespace {

/// The models that one finding is about; those that were not evaluated are nullptr.
struct Case {
  const ReportModel* baseline = nullptr;
  const ReportModel* converted = nullptr;
  const ReportModel* uptrained = nullptr;
  EvaluatedOn on;
  bool name_text = false;  ///< several texts were evaluated: say which one this is about

  /// The original itself, trained on: what the training text alone brings.
  bool is_control() const {
    return uptrained != nullptr && baseline != nullptr &&
           uptrained->n_kv_heads == baseline->n_kv_heads;
  }
  const ReportModel& smaller() const { return uptrained != nullptr ? *uptrained : *converted; }
  const ReportScore* score(const ReportModel* model) const {
    return model != nullptr ? find_score(*model, on) : nullptr;
  }
};

std::optional<double> value_of(const ReportScore* score, std::string_view metric) {
  return score != nullptr && (*score)[metric] ? std::optional((*score)[metric]->value)
                                              : std::nullopt;
}

std::string percent_value(const Measured& share) {
  return without_zero_sign(fmt::format("{:.1f}", share.value * 100)) + " %";
}

std::string percent(const Measured& share) {
  const std::string value = percent_value(share);
  if (!share.error) return value;
  return value + fmt::format(" ± {:.1f}", *share.error * 100);
}

std::string memory_sentence(const Case& c) {
  const ReportModel& model = c.smaller();
  if (c.baseline == nullptr || model.n_kv_heads == c.baseline->n_kv_heads) return "";
  const std::string heads =
      fmt::format("With {} instead of {} KV heads", model.n_kv_heads, c.baseline->n_kv_heads);
  const int64_t before = c.baseline->kv_bytes_per_token;
  const int64_t after = model.kv_bytes_per_token;
  if (before <= 0 || after <= 0) return heads + ": ";
  return fmt::format("{} the cache needs {} ({} instead of {} a token); ", heads,
                     memory_share(after, before), human_bytes(after), human_bytes(before));
}

std::string on_text(const Case& c) { return c.name_text ? " on " + shorten_name(c.on.text) : ""; }

/// What conversion alone did to the loss.
std::string conversion_clause(const Case& c) {
  const auto before = value_of(c.score(c.baseline), metric::kLoss);
  const ReportScore* score = c.score(c.converted);
  const auto after = value_of(score, metric::kLoss);
  if (!after) return "";
  if (!before)
    return fmt::format("the converted model's loss{} is {}", on_text(c), short_number(*after));
  if (no_measurable_gap(*score)) {
    return fmt::format("conversion left no measurable gap (loss{} {} before, {} after)", on_text(c),
                       short_number(*before), short_number(*after));
  }
  return fmt::format("conversion alone {} the loss{} from {} to {}",
                     *after >= *before ? "raised" : "lowered", on_text(c), short_number(*before),
                     short_number(*after));
}

std::string budget(const ReportData& data, const ReportModel& model) {
  const ReportUptraining* run = find_uptraining(data, model);
  if (run == nullptr || run->tokens <= 0) return "uptraining";
  return fmt::format("uptraining on {} tokens", human_count(static_cast<double>(run->tokens)));
}

std::string recovery_clause(const Measured& recovery, double loss, const std::string& budget_text) {
  if (recovery.value < 0) {
    return fmt::format("{} brought nothing back: the loss is {}, and the gap grew (recovery {})",
                       budget_text, short_number(loss), percent(recovery));
  }
  const std::string clause = fmt::format("{} brought back {} of that gap (loss {})", budget_text,
                                         percent(recovery), short_number(loss));
  if (recovery.value <= 1) return clause;
  return clause +
         ", more than was lost: the training text also taught the model something new, "
         "which the original was not given";
}

/// What uptraining did, after what conversion did.
std::string uptraining_clause(const ReportData& data, const Case& c) {
  const ReportScore* score = c.score(c.uptrained);
  const auto loss = value_of(score, metric::kLoss);
  if (!loss) return "";
  const std::string budget_text = budget(data, *c.uptrained);
  const ReportScore* converted = c.score(c.converted);
  const auto& recovery = (*score)[metric::kRecovery];
  const bool gap = converted == nullptr || !no_measurable_gap(*converted);
  if (recovery && gap) return recovery_clause(*recovery, *loss, budget_text);
  const std::string subject = c.uptrained == nullptr || budget_text == "uptraining"
                                  ? "after uptraining"
                                  : "after " + budget_text;
  const auto& delta = (*score)[metric::kLossDelta];
  if (!delta) return fmt::format("{} the loss is {}", subject, short_number(*loss));
  return fmt::format("{} the loss is {}, {} {} the original's", subject, short_number(*loss),
                     measured_text(Measured{std::abs(delta->value), delta->error}),
                     delta->value >= 0 ? "above" : "below");
}

std::string capitalized(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

std::string verdict(const ReportData& data, const Case& c) {
  if (c.is_control() && c.score(c.uptrained) != nullptr) {
    return "The control, the original trained on: " + uptraining_clause(data, c) + ".";
  }
  std::string text = memory_sentence(c);
  const std::string conversion = conversion_clause(c);
  const std::string uptraining = uptraining_clause(data, c);
  text += conversion;
  if (!conversion.empty() && !uptraining.empty()) text += ", ";
  text += uptraining;
  if (conversion.empty() && uptraining.empty()) text += "its loss was not evaluated";
  if (c.uptrained == nullptr && !conversion.empty()) {
    text +=
        data.uptrainings.empty() ? "; nothing was uptrained" : "; no uptrained model was scored";
  }
  const std::string recall = recall_sentence(data, c.converted, c.uptrained);
  return capitalized(text + ".") + (recall.empty() ? "" : " " + recall);
}

std::string with_error(const char* text, const std::string& error) {
  return error.empty() ? text : fmt::format("{}, {}", text, error);
}

void add_fidelity_tiles(const ReportScore& score, std::vector<Tile>& tiles) {
  const auto& kl = score[metric::kKl];
  const auto& agreement = score[metric::kAgreement];
  if (kl) {
    const Cell cell = measured_cell(kl, 1, "");
    tiles.push_back({cell.text, "KL to the original", with_error("nats a token", cell.note)});
  }
  if (!agreement) return;
  const std::string error =
      agreement->error ? fmt::format("± {:.1f}", *agreement->error * 100) : "";
  tiles.push_back({fmt::format("{:.1f} %", agreement->value * 100), "same top token",
                   with_error("as the original", error)});
}

std::vector<Tile> tiles_of(const ReportData& data, const Case& c) {
  std::vector<Tile> tiles;
  const ReportScore* uptrained = c.score(c.uptrained);
  const ReportScore* converted = c.score(c.converted);
  const bool gap = c.is_control() || converted == nullptr || !no_measurable_gap(*converted);
  if (converted != nullptr && !gap) {
    tiles.push_back({"none", "measurable gap", "within 2 standard errors"});
  } else if (uptrained != nullptr && (*uptrained)[metric::kRecovery]) {
    const Measured recovery = *(*uptrained)[metric::kRecovery];
    tiles.push_back({percent_value(recovery), "of the gap recovered",
                     recovery.error ? fmt::format("± {:.1f}", *recovery.error * 100) : ""});
  }
  const ReportModel& model = c.smaller();
  if (model.kv_bytes_per_token > 0) {
    const bool compared =
        !c.is_control() && c.baseline != nullptr && c.baseline->kv_bytes_per_token > 0;
    tiles.push_back({human_bytes(model.kv_bytes_per_token), "KV cache a token",
                     compared ? "instead of " + human_bytes(c.baseline->kv_bytes_per_token) : ""});
  }
  if (const ReportScore* score = uptrained != nullptr ? uptrained : converted) {
    add_fidelity_tiles(*score, tiles);
  }
  const ReportUptraining* run = c.uptrained ? find_uptraining(data, *c.uptrained) : nullptr;
  if (run != nullptr && run->tokens > 0) {
    tiles.push_back({human_count(static_cast<double>(run->tokens)), "uptraining tokens",
                     fmt::format("{} steps", grouped_digits(run->steps))});
  }
  return tiles;
}

/// One case for every uptrained model, and for every converted one that none was made of.
std::vector<Case> collect_cases(const ReportData& data) {
  std::vector<Case> cases;
  const std::vector<EvaluatedOn> texts = evaluations(data);
  if (texts.empty()) return cases;
  const auto uptrained_with = [&](int64_t heads) {
    for (const ReportModel& m : data.models) {
      if (m.role == "uptrained" && m.n_kv_heads == heads) return true;
    }
    return false;
  };
  for (const ReportModel& model : data.models) {
    Case c{.baseline = find_baseline(data), .on = texts[0], .name_text = texts.size() > 1};
    if (model.role == "uptrained") {
      c.converted = find_converted(data, model);
      c.uptrained = &model;
    } else if (model.role == "converted" && !uptrained_with(model.n_kv_heads)) {
      c.converted = &model;
    } else {
      continue;
    }
    if (!c.smaller().scores.empty()) c.on = c.smaller().scores[0].on;
    cases.push_back(c);
  }
  std::stable_partition(cases.begin(), cases.end(), [](const Case& c) { return !c.is_control(); });
  return cases;
}

std::string measured_on(const Case& c) {
  if (c.on.tokens <= 0) return "";
  return fmt::format("Measured on {} tokens of {}; ± is one standard error.",
                     grouped_digits(c.on.tokens), shorten_name(c.on.text));
}

std::string case_title(const ReportData& data, const Case& c) {
  const int64_t heads = c.smaller().n_kv_heads;
  const ReportUptraining* run = c.uptrained ? find_uptraining(data, *c.uptrained) : nullptr;
  if (c.is_control()) return "Control, " + heads_text(heads);
  if (c.baseline == nullptr || c.baseline->n_kv_heads == heads) return heads_text(heads);
  return fmt::format("{} → {}{}", c.baseline->n_kv_heads, heads_text(heads),
                     run != nullptr ? run_suffix(data, *run) : "");
}

/// Without a converted model there is no before and after; say what there is.
Finding finding_without_conversion(const ReportData& data) {
  if (!data.models.empty() && !data.models[0].scores.empty()) {
    const ReportModel& model = data.models[0];
    const ReportScore& score = model.scores[0];
    return {heads_text(model.n_kv_heads),
            fmt::format("The loss of {} is {} on {}; no converted model was evaluated.",
                        shorten_name(model.name), measured_text(score[metric::kLoss]),
                        shorten_name(score.on.text)),
            {}};
  }
  if (!data.damages.empty()) return {"Conversion", damage_summary(data.damages[0]), {}};
  if (!data.plans.empty()) {
    const PlanResult& plan = data.plans[0];
    return {"Plan", plan.why.empty() ? "No model was evaluated." : capitalized(plan.why) + ".", {}};
  }
  if (!data.speeds.empty()) {
    return {"Speed", "Prefill and decode speed was measured; no model was evaluated.", {}};
  }
  if (!data.uptrainings.empty()) {
    const ReportUptraining& run = data.uptrainings[0];
    return {heads_text(run.n_kv_heads),
            fmt::format("Uptrained on {} tokens in {} steps; no model was evaluated.",
                        human_count(static_cast<double>(run.tokens)), grouped_digits(run.steps)),
            {}};
  }
  return {"Report", "No model was evaluated.", {}};
}

}  // namespace

std::vector<Finding> compose_findings(const ReportData& data) {
  std::vector<Finding> findings;
  for (const Case& c : collect_cases(data)) {
    findings.push_back({case_title(data, c), verdict(data, c), tiles_of(data, c), measured_on(c)});
  }
  if (findings.empty()) findings.push_back(finding_without_conversion(data));
  add_recovery_findings(data, findings);
  return findings;
}

std::vector<std::string> report_verdict(const ReportData& data) {
  std::vector<std::string> lines;
  for (Finding& finding : compose_findings(data)) lines.push_back(std::move(finding.verdict));
  return lines;
}

}  // namespace regroup
