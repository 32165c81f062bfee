#include "regroup/convert/held_out_quality.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/results/damage_profile.h"

namespace regroup {

double HeldOutQuality::worst_rise() const {
  double worst = rises.empty() ? 0 : rises.front();
  for (const double rise : rises) {
    if (std::isnan(rise)) return rise;
    worst = std::max(worst, rise);
  }
  return worst;
}

int64_t HeldOutQuality::collapsed() const {
  return std::count_if(rises.begin(), rises.end(),
                       [](double rise) { return !(rise <= kCollapseNats); });
}

Json quality_json(const HeldOutQuality& quality) {
  return {{"windows", quality.rises.size()},
          {"parent_loss", quality.parent_loss},
          {"loss", quality.loss},
          {"kl", quality.kl},
          {"same_top1", quality.same_top1},
          {"worst_window_rise", quality.worst_rise()},
          {"collapsed_windows", quality.collapsed()}};
}

}  // namespace regroup
