#include "regroup/convert/held_out_quality.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/results/damage_profile.h"

namespace regroup {

namespace {

constexpr double kFarNats = 2;

}  // namespace

FirstTokenQuality first_token_quality(const std::vector<double>& kls) {
  FirstTokenQuality quality{.tokens = static_cast<int64_t>(kls.size())};
  for (const double kl : kls) {
    quality.kl += kl / static_cast<double>(kls.size());
    if (!(kl <= kFarNats)) ++quality.above_2_nats;
    if (!(kl <= quality.worst_kl)) quality.worst_kl = kl;
  }
  if (std::isnan(quality.kl)) quality.worst_kl = quality.kl;
  return quality;
}

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
  Json json = {{"windows", quality.rises.size()},
               {"parent_loss", quality.parent_loss},
               {"loss", quality.loss},
               {"kl", quality.kl},
               {"same_top1", quality.same_top1},
               {"worst_window_rise", quality.worst_rise()},
               {"collapsed_windows", quality.collapsed()}};
  if (quality.first_tokens) {
    const FirstTokenQuality& first = *quality.first_tokens;
    json["first_tokens"] = {{"tokens", first.tokens},
                            {"kl", first.kl},
                            {"worst_kl", first.worst_kl},
                            {"above_2_nats", first.above_2_nats}};
  }
  return json;
}

}  // namespace regroup
