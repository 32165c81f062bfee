#include "sweep_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/results/serving_cost.h"
#include "table.h"

namespace regroup {
namespace {

std::string kv_heads_text(int64_t n) { return fmt::format("{} KV head{}", n, n == 1 ? "" : "s"); }

/// "valid lost 0.031 nats a token (0.02 to 0.042)"
std::string lost_text(const SweepView& view, const ToleranceCheck& check) {
  const Tolerance& tolerance = view.tolerances[check.tolerance];
  const auto digits = [](double value) { return without_zero_sign(fmt::format("{:.3g}", value)); };
  return fmt::format("{}{} lost {} {} ({} to {})", printable(check.name, 60),
                     tolerance.metric.empty() ? "" : " " + tolerance.metric, digits(check.loss),
                     tolerance_unit(tolerance), digits(check.low), digits(check.high));
}

std::string broken_text(const SweepView& view, const SweepPoint& point) {
  std::vector<std::string> parts;
  for (const ToleranceCheck& check : point.checks) {
    if (check.within) continue;
    parts.push_back(fmt::format("{}, its upper end {:.3g} above the tolerance of {:g}",
                                lost_text(view, check), check.excess,
                                view.tolerances[check.tolerance].limit));
  }
  return fmt::format("{}: {}", kv_heads_text(point.n_kv_heads), join(parts, "; "));
}

std::string choice_text(const SweepView& view) {
  std::vector<std::string> limits;
  for (const Tolerance& tolerance : view.tolerances) limits.push_back(tolerance_text(tolerance));
  const std::string within = fmt::format(
      "within every tolerance ({}) by the upper ends of the 95 % intervals", join(limits, ", "));
  const SweepPoint* chosen = smallest_within(view.points);
  if (chosen == nullptr) return "no number of KV heads is " + within;
  std::vector<std::string> losses;
  for (const ToleranceCheck& check : chosen->checks) losses.push_back(lost_text(view, check));
  return fmt::format("{}: the fewest {}: {}", kv_heads_text(chosen->n_kv_heads), within,
                     join(losses, ", "));
}

/// What nobody had cannot be lost: a probe that the parent fails at decides nothing.
void explain_probes(const SweepView& view, std::vector<std::string>& sentences) {
  for (const Tolerance& tolerance : view.tolerances) {
    const bool fails = std::any_of(view.points.begin(), view.points.end(), [&](const auto& point) {
      const std::vector<ProbeResult>& probes = point.result.probes;
      return tolerance.kind == ToleranceKind::kProbe &&
             std::any_of(probes.begin(), probes.end(), [&](const ProbeResult& probe) {
               return probe.name == tolerance.name && probe.baseline_can == false;
             });
    });
    if (!fails) continue;
    sentences.push_back(
        fmt::format("the parent fails at {} itself: what the others lose of it says nothing",
                    printable(tolerance.name, 60)));
  }
}

void explain_traffic(const SweepView& view, std::vector<std::string>& sentences) {
  for (const Json& left : view.replay.at("left_out")) {
    sentences.push_back(fmt::format("{} cannot serve the traffic: {}",
                                    kv_heads_text(left.at("n_kv_heads").get<int64_t>()),
                                    left.at("why").get<std::string>()));
  }
  std::vector<double> costs;
  for (const SweepPoint& point : view.points) {
    if (const auto cost = point.cost(); cost && *cost > 0) costs.push_back(*cost);
  }
  if (costs.size() > 1 && !costs_differ(costs)) {
    sentences.emplace_back(
        "the traffic leaves the devices idle, so that every number of KV heads costs the same: "
        "--rate-scale makes more of it");
  }
  sentences.emplace_back(
      "the traffic is simulated from bandwidth and FLOP/s: a bound, not a measurement");
}

std::string estimate(const ToleranceCheck& check) {
  return format_estimate(check.loss, check.error, "{:.3f}");
}

/// The columns of what the points lose of their tolerances; the loss has one of its own.
void add_tolerance_columns(const SweepView& view, TableRows& rows) {
  for (size_t t = 0; t < view.tolerances.size(); ++t) {
    const Tolerance& tolerance = view.tolerances[t];
    if (tolerance.kind == ToleranceKind::kLoss) continue;
    rows[0].push_back(fmt::format("{}{} lost", printable(tolerance.name, 30),
                                  tolerance.metric.empty() ? "" : " " + tolerance.metric));
    for (size_t p = 0; p < view.points.size(); ++p) {
      std::string cell = "-";
      for (const ToleranceCheck& check : view.points[p].checks) {
        if (check.tolerance == t) cell = estimate(check);
      }
      rows[p + 1].push_back(cell);
    }
  }
  rows[0].emplace_back("within");
  for (size_t p = 0; p < view.points.size(); ++p) {
    const SweepPoint& point = view.points[p];
    rows[p + 1].push_back(point.is_parent() ? "-" : point.within() ? "yes" : "no");
  }
}

void add_traffic_columns(const SweepView& view, TableRows& rows) {
  rows[0].insert(rows[0].end(), {"running", "TTFT p99", "tokens/s",
                                 view.has_price() ? "a million tokens" : "GPU h a million tokens"});
  for (size_t p = 0; p < view.points.size(); ++p) {
    const Json& traffic = view.points[p].traffic;
    if (!traffic.is_object()) {
      rows[p + 1].insert(rows[p + 1].end(), {"-", "-", "-", "-"});
      continue;
    }
    const auto cost = view.points[p].cost();
    rows[p + 1].insert(rows[p + 1].end(),
                       {fmt::format("{:.1f}", traffic.at("concurrency").at("mean").get<double>()),
                        human_latency(traffic.at("ttft_s").at("p99").get<double>()),
                        human_rate(traffic.at("tokens_per_s").get<double>()),
                        cost ? fmt::format("{:.4g}", *cost) : "-"});
  }
}

/// One number a text.
template <typename Text>
std::string each_text(const SweepPoint& point, const Text& text) {
  std::vector<std::string> parts;
  for (const LossIncrease& loss : point.losses) parts.push_back(text(loss));
  return parts.empty() ? "-" : join(parts, "; ");
}

std::string increases_text(const SweepPoint& point) {
  return each_text(point, [](const LossIncrease& loss) {
    return format_estimate(loss.value, loss.error, "{:.4f}");
  });
}

std::string divergences_text(const SweepPoint& point) {
  return each_text(point, [](const LossIncrease& loss) {
    return loss.kl ? format_estimate(*loss.kl, loss.kl_error, "{:.4f}") : std::string("-");
  });
}

Json tolerance_json(const Tolerance& tolerance) {
  Json json = {{"kind", tolerance_kind(tolerance.kind)}};
  if (!tolerance.name.empty()) json["name"] = tolerance.name;
  if (!tolerance.metric.empty()) json["metric"] = tolerance.metric;
  json["limit"] = tolerance.limit;
  json["unit"] = tolerance_unit(tolerance);
  return json;
}

Json check_json(const SweepView& view, const ToleranceCheck& check) {
  Json json = tolerance_json(view.tolerances[check.tolerance]);
  json["name"] = check.name;
  json["lost"] = check.loss;
  json["stderr"] = check.error;
  json["ci95"] = {check.low, check.high};
  json["excess"] = check.excess;
  json["within"] = check.within;
  return json;
}

Json loss_json(const LossIncrease& loss) {
  Json json = {{"text", loss.text},
               {"value", loss.value},
               {"stderr", loss.error},
               {"lower", loss.lower()},
               {"upper", loss.upper()}};
  if (loss.kl) json["kl"] = *loss.kl;
  if (loss.kl_error) json["kl_stderr"] = *loss.kl_error;
  return json;
}

Json point_json(const SweepView& view, const SweepPoint& point) {
  Json json = {
      {"n_kv_heads", point.n_kv_heads},
      {"role", point.role},
      {"kv_bytes_per_token", point.kv_bytes_per_token},
      {"mean_loss_increase", {{"value", point.mean_increase()}, {"stderr", point.mean_error()}}},
      {"loss_increase", Json::array()},
      {"results", model_result_json(point.result)["results"]}};
  for (const LossIncrease& loss : point.losses) json["loss_increase"].push_back(loss_json(loss));
  if (!view.tolerances.empty() && !point.is_parent()) {
    json["tolerances"] = Json::array();
    for (const ToleranceCheck& check : point.checks) {
      json["tolerances"].push_back(check_json(view, check));
    }
    json["within"] = point.within();
  }
  if (view.has_traffic()) json["traffic"] = point.traffic;
  return json;
}

Json front_json(const std::vector<SweepPoint>& points, bool SweepPoint::*mark) {
  Json front = Json::array();
  for (const SweepPoint& point : points) {
    if (point.*mark) front.push_back(point.n_kv_heads);
  }
  return front;
}

}  // namespace

bool SweepView::has_price() const {
  return has_traffic() && replay.at("settings").at("gpu_price").get<double>() > 0;
}

std::vector<std::string> explain_sweep(const SweepView& view) {
  std::vector<std::string> sentences;
  if (!view.tolerances.empty()) {
    sentences.push_back(choice_text(view));
    for (const SweepPoint& point : view.points) {
      if (!point.within()) sentences.push_back(broken_text(view, point));
    }
  }
  explain_probes(view, sentences);
  if (view.has_traffic()) explain_traffic(view, sentences);
  if (!view.uptrained) {
    sentences.emplace_back(
        "nothing was uptrained: how much of each loss comes back is not known, and fewer KV heads "
        "may be enough then");
  }
  return sentences;
}

std::string sweep_text(const SweepView& view) {
  TableRows rows = {{"KV heads", "model", "KV per token", "loss - parent", "KL"}};
  for (const SweepPoint& point : view.points) {
    rows.push_back({std::to_string(point.n_kv_heads), point.role,
                    human_bytes(point.kv_bytes_per_token), increases_text(point),
                    divergences_text(point)});
  }
  if (!view.tolerances.empty()) add_tolerance_columns(view, rows);
  if (view.has_traffic()) add_traffic_columns(view, rows);
  rows[0].emplace_back("Pareto");
  for (size_t p = 0; p < view.points.size(); ++p) {
    const SweepPoint& point = view.points[p];
    rows[p + 1].emplace_back((view.by_cost ? point.pareto_cost : point.pareto) ? "yes" : "no");
  }
  std::string text = format_table(rows, 2) + "\n";
  for (const std::string& sentence : explain_sweep(view)) text += sentence + "\n";
  return text + printable(view.out, 500) + "/report.html\n";
}

Json sweep_json(const SweepView& view) {
  Json json = {{"format", "regroup sweep/1"}, {"out", view.out}, {"points", Json::array()}};
  for (const SweepPoint& point : view.points) json["points"].push_back(point_json(view, point));
  json["pareto"] =
      front_json(view.points, view.by_cost ? &SweepPoint::pareto_cost : &SweepPoint::pareto);
  json["pareto_by"] = view.by_cost ? "cost" : "cache";
  json["fronts"]["cache"] = front_json(view.points, &SweepPoint::pareto);
  if (view.has_traffic()) {
    json["fronts"]["cost"] = front_json(view.points, &SweepPoint::pareto_cost);
    json["cost_unit"] = view.has_price() ? "price" : "device hours";
    json["trace"] = view.replay.at("trace");
    json["settings"] = view.replay.at("settings");
    json["left_out"] = view.replay.at("left_out");
  }
  if (!view.tolerances.empty()) {
    json["tolerances"] = Json::array();
    for (const Tolerance& tolerance : view.tolerances) {
      json["tolerances"].push_back(tolerance_json(tolerance));
      if (tolerance.kind == ToleranceKind::kLoss) json["tolerance"] = tolerance.limit;
    }
    const SweepPoint* chosen = smallest_within(view.points);
    json["chosen"] = chosen == nullptr ? Json() : Json(chosen->n_kv_heads);
  }
  json["findings"] = explain_sweep(view);
  json["why"] = join(explain_sweep(view), "; ");
  return json;
}

}  // namespace regroup
