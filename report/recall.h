#pragma once

#include <optional>
#include <string>

#include "regroup/report/report.h"

namespace regroup {

/// What became of one probe, by the interval of the difference and by the loss of texts beside it.
enum class RecallChange {
  kUnknown,         ///< not compared with a baseline
  kBeyondBaseline,  ///< the baseline cannot do it: nothing can be lost
  kNone,
  kBetter,
  kWorse,         ///< no text was measured beside it
  kWithLoss,      ///< worse, by no more than the loss
  kMoreThanLoss,  ///< even the end of the interval nearest to 0 is more than the loss rose
};

/// @param loss  how much more loss the model has than its baseline, nats a token
RecallChange recall_change(const ReportProbe& probe, const std::optional<double>& loss);

/// How much more loss a model has on texts than its baseline; nothing where no text was measured.
std::optional<double> loss_rise(const ReportData& data, const std::string& model);

/// "Of the 5 probes that the original can do, recall fell more than the loss says in 3 after conversion (most in passkey, by 2.10
/// nats a token of the answer; the loss rose by 0.31), in none after uptraining." Either model may be nullptr; "" where nothing
/// was compared.
std::string recall_sentence(const ReportData& data, const ReportModel* converted,
                            const ReportModel* uptrained);

}  // namespace regroup
