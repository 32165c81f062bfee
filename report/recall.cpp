#include "recall.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace regroup {
namespace {

/// What the probes say of one model.
struct Recalled {
  int64_t known = 0;                   ///< compared, and the baseline can do them
  int64_t fell = 0;                    ///< more than the loss says
  const ReportProbe* worst = nullptr;  ///< of those
  double loss = 0;
};

Recalled recalled_by(const ReportData& data, const ReportModel* model) {
  Recalled result;
  if (model == nullptr) return result;
  const std::optional<double> loss = loss_rise(data, model->name);
  if (!loss) return result;
  result.loss = *loss;
  for (const ReportProbe& probe : data.probes) {
    const RecallChange change = recall_change(probe, loss);
    if (probe.model != model->name || change == RecallChange::kUnknown ||
        change == RecallChange::kBeyondBaseline) {
      continue;
    }
    ++result.known;
    if (change != RecallChange::kMoreThanLoss) continue;
    ++result.fell;
    if (result.worst == nullptr ||
        probe.log_prob_delta->value < result.worst->log_prob_delta->value) {
      result.worst = &probe;
    }
  }
  return result;
}

std::string fell_clause(const char* after, const Recalled& found) {
  if (found.known == 0) return "";
  if (found.fell == 0) return fmt::format("in none {}", after);
  return fmt::format(
      "in {} {} (most in {}, by {:.2f} nats a token of the answer; the loss {} by "
      "{:.2f})",
      found.fell, after, found.worst->name, -found.worst->log_prob_delta->value,
      found.loss >= 0 ? "rose" : "fell", std::abs(found.loss));
}

}  // namespace

RecallChange recall_change(const ReportProbe& probe, const std::optional<double>& loss) {
  if (probe.baseline_can == false) return RecallChange::kBeyondBaseline;
  if (!probe.log_prob_delta) return RecallChange::kUnknown;
  if (probe.low <= 0 && probe.high >= 0) return RecallChange::kNone;
  if (probe.low > 0) return RecallChange::kBetter;
  if (!loss) return RecallChange::kWorse;
  return -probe.high > std::max(0.0, *loss) ? RecallChange::kMoreThanLoss : RecallChange::kWithLoss;
}

std::optional<double> loss_rise(const ReportData& data, const std::string& model) {
  for (const ReportModel& known : data.models) {
    if (known.name != model) continue;
    for (const ReportScore& score : known.scores) {
      if (score[metric::kLossDelta]) return score[metric::kLossDelta]->value;
    }
  }
  return std::nullopt;
}

std::string recall_sentence(const ReportData& data, const ReportModel* converted,
                            const ReportModel* uptrained) {
  const Recalled before = recalled_by(data, converted);
  const Recalled after = recalled_by(data, uptrained);
  const int64_t known = std::max(before.known, after.known);
  if (known == 0) return "";
  const std::string probes = known == 1
                                 ? "Of the one probe that the original can do"
                                 : fmt::format("Of the {} probes that the original can do", known);
  if (before.fell + after.fell == 0)
    return probes + ", recall fell in none more than the loss says.";
  const std::string first = fell_clause("after conversion", before);
  const std::string second = fell_clause("after uptraining", after);
  return fmt::format("{}, recall fell more than the loss says {}{}{}.", probes, first,
                     first.empty() || second.empty() ? "" : ", ", second);
}

}  // namespace regroup
