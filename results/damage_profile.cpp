#include "regroup/results/damage_profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "regroup/results/fields.h"

namespace regroup {
namespace {

Json position_json(const PositionDamage& band) {
  return {{"first", band.first},           {"end", band.end}, {"tokens", band.tokens},
          {"loss_delta", band.loss_delta}, {"kl", band.kl},   {"top1_agreement", band.agreement}};
}

Json window_json(const WindowDamage& window) {
  return {{"window", window.window},
          {"first_token", window.first_token},
          {"loss_before", window.loss_before},
          {"loss", window.loss}};
}

}  // namespace

std::vector<int64_t> position_edges(int64_t seq_len) {
  std::vector<int64_t> edges = {0};
  for (int64_t edge = 1; edge < seq_len; edge = edge == 1 ? 16 : 4 * edge) edges.push_back(edge);
  edges.push_back(seq_len);
  return edges;
}

Json damage_profile_json(const DamageProfile& profile) {
  Json json = {{"positions", Json::array()},
               {"worst_windows", Json::array()},
               {"windows", profile.windows},
               {"collapsed_windows", profile.collapsed}};
  for (const PositionDamage& band : profile.positions) {
    json["positions"].push_back(position_json(band));
  }
  for (const WindowDamage& window : profile.worst) {
    json["worst_windows"].push_back(window_json(window));
  }
  return json;
}

DamageProfile read_damage_profile(const Json& json, const std::string& path) {
  const JsonFields fields(json, path);
  DamageProfile profile{.positions = {},
                        .worst = {},
                        .windows = count_of(fields, "windows"),
                        .collapsed = count_of(fields, "collapsed_windows")};
  for (const Json& band : objects_in(json, "positions", path)) {
    const JsonFields of(band, path);
    profile.positions.push_back({.first = count_of(of, "first"),
                                 .end = count_of(of, "end"),
                                 .tokens = count_of(of, "tokens"),
                                 .loss_delta = of.number("loss_delta").value_or(NAN),
                                 .kl = of.number("kl").value_or(NAN),
                                 .agreement = of.number("top1_agreement").value_or(0)});
  }
  for (const Json& window : objects_in(json, "worst_windows", path)) {
    const JsonFields of(window, path);
    profile.worst.push_back({.window = count_of(of, "window"),
                             .first_token = count_of(of, "first_token"),
                             .loss_before = of.number("loss_before").value_or(0),
                             .loss = of.number("loss").value_or(0)});
  }
  return profile;
}

std::string damage_lines(const std::string& label, const DamageProfile& profile) {
  if (profile.worst.empty()) return "";
  const WindowDamage& worst = profile.worst.front();
  std::string text = fmt::format("{}: worst window {}, from token {}: {:.2f} -> {:.2f}", label,
                                 worst.window, worst.first_token, worst.loss_before, worst.loss);
  if (profile.collapsed > 0) {
    text += fmt::format("; {} of {} collapsed (by more than {} nats)", profile.collapsed,
                        profile.windows, kCollapseNats);
  }
  text += "\n  loss - before by position:";
  for (size_t band = 0; band < profile.positions.size(); ++band) {
    text += fmt::format("{} {} {:+.3f}", band == 0 ? "" : ",", band_text(profile, band),
                        profile.positions[band].loss_delta);
  }
  return text + "\n";
}

std::string band_text(const DamageProfile& profile, size_t band) {
  const PositionDamage& of = profile.positions[band];
  if (of.end == of.first + 1) return std::to_string(of.first);
  if (band + 1 == profile.positions.size()) return fmt::format("{}+", of.first);
  return fmt::format("{}-{}", of.first, of.end - 1);
}

}  // namespace regroup
