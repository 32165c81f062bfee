#pragma once

#include "regroup/results/damage_profile.h"
#include "report_document.h"

namespace regroup {

/// One model or conversion and where it loses.
struct ProfileRow {
  Cell label;
  std::string name;  ///< in the chart
  const DamageProfile* profile;
};

/// The damage by position in the window, drawn from three bands on, and the worst window of each row. Nothing
/// where no row has a profile.
void add_positions(const std::string& conditions, const std::vector<ProfileRow>& rows,
                   Section& section);

}  // namespace regroup
