#include "sweep_points.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"

namespace regroup {
namespace {

std::optional<double> number_at(const Json& scores, const char* key) {
  const auto found = scores.find(key);
  return found != scores.end() && found->is_number() ? std::optional(found->get<double>())
                                                     : std::nullopt;
}

SweepPoint read_point(const ModelResult& model) {
  SweepPoint point{.n_kv_heads = model.n_kv_heads,
                   .role = model.role,
                   .kv_bytes_per_token = model.kv_bytes_per_token,
                   .losses = {},
                   .result = model};
  for (const TextResult& text : model.texts) {
    const auto delta = find_metric(text.metrics, metric::kLossDelta);
    if (!delta) continue;
    const auto kl = find_metric(text.metrics, metric::kKl);
    point.losses.push_back({.text = text.name,
                            .value = delta->value,
                            .error = delta->error.value_or(0),
                            .kl = kl ? std::optional(kl->value) : std::nullopt,
                            .kl_error = kl ? kl->error : std::nullopt});
  }
  return point;
}

/// Marks what no other point beats.
template <typename Cost>
void mark_front(std::vector<SweepPoint>& points, bool SweepPoint::*mark, const Cost& cost) {
  const auto beats = [&](const SweepPoint& a, const SweepPoint& b) {
    const std::optional<double> cost_a = cost(a);
    if (!cost_a) return false;
    const double cost_b = *cost(b);
    const bool as_good = *cost_a <= cost_b && a.mean_increase() <= b.mean_increase();
    return as_good && (*cost_a < cost_b || a.mean_increase() < b.mean_increase());
  };
  for (SweepPoint& point : points) {
    point.*mark = cost(point) && std::none_of(points.begin(), points.end(), [&](const auto& other) {
                    return beats(other, point);
                  });
  }
}

}  // namespace

double SweepPoint::mean_increase() const {
  double sum = 0;
  for (const LossIncrease& loss : losses) sum += loss.value;
  return losses.empty() ? 0 : sum / static_cast<double>(losses.size());
}

double SweepPoint::mean_error() const {
  double squares = 0;
  for (const LossIncrease& loss : losses) squares += loss.error * loss.error;
  return losses.empty() ? 0 : std::sqrt(squares) / static_cast<double>(losses.size());
}

bool SweepPoint::within() const {
  return std::all_of(checks.begin(), checks.end(),
                     [](const ToleranceCheck& check) { return check.within; });
}

std::optional<double> SweepPoint::cost() const {
  if (!traffic.is_object()) return std::nullopt;
  const auto price = number_at(traffic, "cost_per_million_tokens");
  return price ? price : number_at(traffic, "device_hours_per_million_tokens");
}

std::vector<SweepPoint> read_sweep_points(const Evaluation& evaluation, const std::string& path) {
  std::map<int64_t, SweepPoint, std::greater<>> by_heads;
  for (const ModelResult& model : evaluation.models) {
    SweepPoint point = read_point(model);
    if (point.losses.empty() && !point.is_parent()) {
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
  mark_front(points, &SweepPoint::pareto, [](const SweepPoint& point) {
    return std::optional(static_cast<double>(point.kv_bytes_per_token));
  });
  mark_front(points, &SweepPoint::pareto_cost,
             [](const SweepPoint& point) { return point.cost(); });
}

const SweepPoint* smallest_within(const std::vector<SweepPoint>& points) {
  const SweepPoint* smallest = nullptr;
  for (const SweepPoint& point : points) {
    if (point.is_parent() || !point.within()) continue;
    if (smallest == nullptr || point.n_kv_heads < smallest->n_kv_heads) smallest = &point;
  }
  return smallest;
}

}  // namespace regroup
