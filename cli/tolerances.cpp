#include "tolerances.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"
#include "regroup/tasks/probe.h"
#include "regroup/tasks/task.h"
#include "regroup/text/token_stream.h"

namespace regroup {
namespace {

constexpr double kPoints = 100;  // of a share

/// "NAME=NUMBER" of one flag.
struct NamedLimit {
  std::string name;
  double limit = 0;
};

NamedLimit parse_limit(const char* flag, const std::string& text, const char* unit, double most) {
  const size_t sign = text.rfind('=');
  const std::string_view number =
      sign == std::string::npos ? std::string_view() : std::string_view(text).substr(sign + 1);
  double limit = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), limit);
  const bool read = error == std::errc() && end == number.data() + number.size();
  if (sign != std::string::npos && sign > 0 && read && limit > 0 && limit <= most) {
    return {text.substr(0, sign), limit};
  }
  throw ConfigError(
      {.code = "FLAG_VALUE",
       .message = fmt::format("{} must be NAME={}, a number above 0 and at most {:g}, "
                              "found {}",
                              flag, unit, most, printable(text, 60)),
       .hint = fmt::format("for example {} NAME=1", flag)});
}

[[noreturn]] void refuse_name(const char* code, const std::string& rule, const std::string& found,
                              const std::vector<std::string>& known, const std::string& otherwise) {
  const std::string near = nearest(found, known);
  throw ConfigError(
      {.code = code,
       .message = fmt::format("{}: {}; found {}", rule,
                              known.empty() ? "none" : printable(join(known, ", "), 400),
                              printable(found, 60)),
       .hint = near.empty() ? otherwise : fmt::format("did you mean {}?", printable(near, 60))});
}

/// Scores between 0 and 1 that eval compares on the same items.
std::vector<std::string> point_metrics(const TaskDefinition& definition) {
  std::vector<std::string> names;
  for (const Measure measure : definition.measures) {
    if (!higher_is_better(measure) || measure == Measure::kBleu) continue;
    const std::string filter(measure_filter(measure));
    names.push_back(std::string(measure_name(measure)) + (filter == "none" ? "" : "," + filter));
  }
  return names;
}

/// A file may be of any form: its questions say which measures there are.
TaskDefinition definition_of(const std::string& task) {
  if (const TaskDefinition* definition = find_task_definition(task)) return *definition;
  return open_task(task, {.limit = 1, .n_shot = 0}).definition;
}

Tolerance task_tolerance(const std::string& text, const std::vector<std::string>& tasks) {
  const auto [name, limit] = parse_limit("--tolerance-task", text, "POINTS", 100);
  const size_t colon = name.find(':');
  const std::string asked = name.substr(0, colon);
  std::vector<std::string> names;
  for (const std::string& task : tasks)
    names.push_back(is_task_file(task) ? stream_name(task) : task);
  const auto found = std::find(names.begin(), names.end(), asked);
  if (found == names.end()) {
    refuse_name("TASK_UNKNOWN", "--tolerance-task must name one of the tasks that --task asks",
                asked, names, "give that task to --task too");
  }
  const auto place = static_cast<size_t>(found - names.begin());
  const std::vector<std::string> metrics = point_metrics(definition_of(tasks[place]));
  const std::string metric = colon == std::string::npos ? (metrics.empty() ? "" : metrics.front())
                                                        : name.substr(colon + 1);
  if (std::find(metrics.begin(), metrics.end(), metric) == metrics.end()) {
    refuse_name("FLAG_VALUE",
                fmt::format("--tolerance-task must name a score of {} that is counted in points",
                            printable(asked, 60)),
                metric.empty() ? "none" : metric, metrics, "choose another task");
  }
  return {.kind = ToleranceKind::kTask, .name = asked, .metric = metric, .limit = limit};
}

Tolerance probe_tolerance(const std::string& text, const std::vector<std::string>& probes) {
  const auto [name, limit] = parse_limit("--tolerance-probe", text, "NATS", 100);
  std::vector<std::string> names;
  for (const ProbeDefinition* probe : choose_probes(probes)) names.emplace_back(probe->name);
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    refuse_name("PROBE_UNKNOWN", "--tolerance-probe must name one of the probes that --probe asks",
                name, names, "give that probe to --probe too");
  }
  return {.kind = ToleranceKind::kProbe, .name = name, .metric = "", .limit = limit};
}

void require_once(const std::vector<Tolerance>& tolerances) {
  for (size_t i = 0; i < tolerances.size(); ++i) {
    for (size_t k = 0; k < i; ++k) {
      const Tolerance& a = tolerances[i];
      const Tolerance& b = tolerances[k];
      if (a.kind != b.kind || a.name != b.name || a.metric != b.metric) continue;
      throw ConfigError({.code = "FLAG_VALUE",
                         .message = fmt::format("--tolerance-{} must be given once for each score, "
                                                "found {} twice",
                                                tolerance_kind(a.kind), printable(a.name, 60)),
                         .hint = "leave one of them out"});
    }
  }
}

[[noreturn]] void refuse_uncompared(const Tolerance& tolerance, const SweepPoint& point,
                                    const std::string& path) {
  throw CheckpointError(
      {.code = "SWEEP_RESULTS",
       .message = fmt::format("must have {} {} of {} KV heads against the parent's, found none",
                              printable(tolerance.name, 60), tolerance.metric, point.n_kv_heads),
       .path = path,
       .hint = "two questions or more whose scores are numbers are compared: ask more of them"});
}

/// A number of nats or points that is lost, as positive, from one that is gained.
ToleranceCheck lost(const Tolerance& tolerance, double factor, const Measured& delta, double low,
                    double high) {
  ToleranceCheck check;
  check.name = tolerance.name;
  check.loss = -factor * delta.value;
  check.error = factor * delta.error.value_or(0);
  check.low = -factor * high;
  check.high = -factor * low;
  return check;
}

ToleranceCheck check_named(const Tolerance& tolerance, const SweepPoint& point,
                           const std::string& path) {
  if (tolerance.kind == ToleranceKind::kTask && point.result.paired) {
    for (const TaskDifference& found : *point.result.paired) {
      if (found.task != tolerance.name || found.measure != tolerance.metric) continue;
      return lost(tolerance, kPoints, found.delta, found.low, found.high);
    }
  }
  for (const ProbeResult& probe : point.result.probes) {
    const bool named = tolerance.kind == ToleranceKind::kProbe && probe.name == tolerance.name;
    if (!named || !probe.difference) continue;
    return lost(tolerance, 1, probe.difference->delta, probe.difference->low,
                probe.difference->high);
  }
  refuse_uncompared(tolerance, point, path);
}

void check_point(const Tolerance& tolerance, size_t index, const std::string& path,
                 SweepPoint& point) {
  std::vector<ToleranceCheck> checks;
  if (tolerance.kind == ToleranceKind::kLoss) {
    for (const LossIncrease& loss : point.losses) {
      checks.push_back({.name = loss.text,
                        .loss = loss.value,
                        .error = loss.error,
                        .low = loss.lower(),
                        .high = loss.upper()});
    }
  } else {
    checks.push_back(check_named(tolerance, point, path));
  }
  for (ToleranceCheck& check : checks) {
    check.tolerance = index;
    check.excess = check.high - tolerance.limit;
    // As eval's non_inferior: a margin itself is too much.
    check.within = tolerance.kind == ToleranceKind::kTask ? check.excess < 0 : check.excess <= 0;
    point.checks.push_back(std::move(check));
  }
}

}  // namespace

const char* tolerance_kind(ToleranceKind kind) {
  if (kind == ToleranceKind::kLoss) return "loss";
  return kind == ToleranceKind::kTask ? "task" : "probe";
}

std::string tolerance_unit(const Tolerance& tolerance) {
  return tolerance.kind == ToleranceKind::kTask ? "points" : "nats a token";
}

std::string tolerance_text(const Tolerance& tolerance) {
  std::string name =
      tolerance.kind == ToleranceKind::kLoss ? "loss" : printable(tolerance.name, 60);
  if (!tolerance.metric.empty()) name += " " + tolerance.metric;
  return fmt::format("{} {:g} {}", name, tolerance.limit,
                     tolerance.limit == 1 && tolerance.kind == ToleranceKind::kTask
                         ? "point"
                         : tolerance_unit(tolerance));
}

std::vector<Tolerance> parse_tolerances(const ToleranceFlags& flags,
                                        const std::vector<std::string>& tasks,
                                        const std::vector<std::string>& probes) {
  std::vector<Tolerance> all;
  if (flags.loss) {
    all.push_back({.kind = ToleranceKind::kLoss, .name = "", .metric = "", .limit = *flags.loss});
  }
  for (const std::string& text : flags.tasks) all.push_back(task_tolerance(text, tasks));
  for (const std::string& text : flags.probes) all.push_back(probe_tolerance(text, probes));
  require_once(all);
  return all;
}

void check_tolerances(const std::vector<Tolerance>& tolerances, const std::string& path,
                      std::vector<SweepPoint>& points) {
  for (SweepPoint& point : points) {
    point.checks.clear();
    if (point.is_parent()) continue;
    for (size_t i = 0; i < tolerances.size(); ++i) check_point(tolerances[i], i, path, point);
  }
}

}  // namespace regroup
