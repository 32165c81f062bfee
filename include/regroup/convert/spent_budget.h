#pragma once

#include "regroup/base/strict_json.h"
#include "regroup/convert/plan.h"

namespace regroup {

/// Where JOB.json keeps the budget as it was given.
inline constexpr const char* kBudgetKey = "calibration_budget";

Json budget_json(const CalibrationBudget& budget);

/// Keeps in OUT.partial what was asked for, where a budget decides the rest. @param calibration  as given
void note_asked(const std::string& partial, const CalibrationOptions& calibration);

/// An interrupted run of the same job in OUT.partial has decided what the budget comes to: a resumed run takes
/// its numbers, since a rate measured again would give others. Leaves `calibration` alone where there is none.
void recall_budget(const ModelFolder& model, const ConvertOptions& options,
                   CalibrationOptions& calibration);

}  // namespace regroup
