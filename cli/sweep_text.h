#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sweep_points.h"
#include "tolerances.h"

namespace regroup {

/// What a sweep found.
struct SweepView {
  std::string out;
  std::vector<SweepPoint> points;  ///< most heads first
  std::vector<Tolerance> tolerances;
  Json replay = {};  ///< of the traffic; null: none was given
  bool by_cost = false;
  bool uptrained = false;

  bool has_traffic() const { return replay.is_object(); }
  bool has_price() const;
};

/// What was chosen, what stands against the others, and what cannot be known; sentences without full stops.
std::vector<std::string> explain_sweep(const SweepView& view);
std::string sweep_text(const SweepView& view);
Json sweep_json(const SweepView& view);

}  // namespace regroup
