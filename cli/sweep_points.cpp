#include "sweep_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"

namespace regroup {
namespace {

constexpr const char* kBaseline = "baseline";

SweepPoint read_point(const Json& model) {
  const Json& about = model.at("regroup");
  SweepPoint point{.n_kv_heads = about.at("n_kv_heads").get<int64_t>(),
                   .role = about.at("role").get<std::string>(),
                   .kv_bytes_per_token = about.at("kv_bytes_per_token").get<int64_t>(),
                   .losses = {},
                   .results = model.at("results")};
  for (const auto& [name, scores] : point.results.items()) {
    const auto delta = scores.find("loss_delta,none");
    if (delta == scores.end() || !delta->is_number()) continue;
    const auto error = scores.find("loss_delta_stderr,none");
    const bool known = error != scores.end() && error->is_number();
    point.losses.push_back(
        {.text = name, .value = delta->get<double>(), .error = known ? error->get<double>() : 0});
  }
  return point;
}

}  // namespace

double SweepPoint::mean_increase() const {
  double sum = 0;
  for (const LossIncrease& loss : losses) sum += loss.value;
  return losses.empty() ? 0 : sum / static_cast<double>(losses.size());
}

std::vector<SweepPoint> read_sweep_points(const Json& evaluation, const std::string& path) {
  std::map<int64_t, SweepPoint, std::greater<>> by_heads;
  for (const Json& model : evaluation.at("models")) {
    SweepPoint point = read_point(model);
    if (point.losses.empty() && point.role != kBaseline) {
      throw CheckpointError(
          {.code = "SWEEP_RESULTS",
           .message = fmt::format("must have the loss of {} KV heads against the parent's, found "
                                  "no \"loss_delta,none\"",
                                  point.n_kv_heads),
           .path = path,
           .hint = "give --text, which every model is measured on"});
    }
    // The parent comes first, the uptrained model behind the converted one.
    const int64_t heads = point.n_kv_heads;
    by_heads.insert_or_assign(heads, std::move(point));
  }
  std::vector<SweepPoint> points;
  for (auto& [heads, point] : by_heads) points.push_back(std::move(point));
  mark_pareto(points);
  return points;
}

void mark_pareto(std::vector<SweepPoint>& points) {
  const auto beats = [](const SweepPoint& a, const SweepPoint& b) {
    const bool as_good =
        a.kv_bytes_per_token <= b.kv_bytes_per_token && a.mean_increase() <= b.mean_increase();
    return as_good &&
           (a.kv_bytes_per_token < b.kv_bytes_per_token || a.mean_increase() < b.mean_increase());
  };
  for (SweepPoint& point : points) {
    point.pareto = std::none_of(points.begin(), points.end(),
                                [&](const SweepPoint& other) { return beats(other, point); });
  }
}

const SweepPoint* smallest_within(const std::vector<SweepPoint>& points, double tolerance) {
  const SweepPoint* smallest = nullptr;
  for (const SweepPoint& point : points) {
    const bool within =
        std::all_of(point.losses.begin(), point.losses.end(),
                    [&](const LossIncrease& loss) { return loss.upper() <= tolerance; });
    if (!within || point.role == kBaseline) continue;
    if (smallest == nullptr || point.n_kv_heads < smallest->n_kv_heads) smallest = &point;
  }
  return smallest;
}

}  // namespace regroup
