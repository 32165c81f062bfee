#include "regroup/tasks/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "probes/probes.h"
#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr const ProbeDefinition* kProbes[] = {
#define REGROUP_ENTRY(name) &probes::name,
#include "regroup/probe_definitions.inc"
#undef REGROUP_ENTRY
};

/// Mean and standard error.
std::pair<double, double> mean_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, values.size() > 1 ? std::sqrt(squares / (n - 1) / n) : 0};
}

/// The choice with the most log-likelihood of a trial. The right one comes first, and wins only alone.
bool chooses_first(std::span<const RequestScore> choices) {
  return std::all_of(choices.begin() + 1, choices.end(), [&](const RequestScore& other) {
    return other.log_likelihood < choices.front().log_likelihood;
  });
}

}  // namespace

std::span<const ProbeDefinition* const> probe_definitions() { return kProbes; }

const ProbeDefinition* find_probe(std::string_view name) {
  const auto found =
      std::find_if(std::begin(kProbes), std::end(kProbes),
                   [&](const ProbeDefinition* probe) { return probe->name == name; });
  return found == std::end(kProbes) ? nullptr : *found;
}

std::vector<const ProbeDefinition*> choose_probes(const std::vector<std::string>& names) {
  std::vector<std::string> known = {"all"};
  for (const ProbeDefinition* probe : kProbes) known.emplace_back(probe->name);
  std::vector<const ProbeDefinition*> chosen;
  for (const ProbeDefinition* probe : kProbes) {
    const bool asked = std::any_of(names.begin(), names.end(), [&](const std::string& name) {
      return name == "all" || name == probe->name;
    });
    if (asked) chosen.push_back(probe);
  }
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    const std::string near = nearest(name, known);
    throw ConfigError({.code = "PROBE_UNKNOWN",
                       .message = fmt::format("`probe` must be one of {}; found {}",
                                              join(known, ", "), printable(name, 60)),
                       .hint = near.empty() ? "docs/tasks.md says what each of them asks"
                                            : fmt::format("did you mean {}?", near)});
  }
  return chosen;
}

std::vector<double> trial_log_probs(const ProbeCell& cell, std::span<const RequestScore> scores) {
  std::vector<double> values;
  for (size_t i = 0; i < scores.size(); i += cell.choices) {
    values.push_back(scores[i].log_likelihood / static_cast<double>(cell.requests[i].scored));
  }
  return values;
}

ProbeScore score_cell(const ProbeCell& cell, std::span<const RequestScore> scores) {
  ProbeScore result;
  std::vector<double> right;
  for (size_t i = 0; i < scores.size(); i += cell.choices) {
    const bool whole =
        cell.choices > 1 ? chooses_first(scores.subspan(i, cell.choices)) : scores[i].greedy;
    right.push_back(whole ? 1 : 0);
  }
  result.trials = static_cast<int64_t>(right.size());
  std::tie(result.log_prob, result.log_prob_error) = mean_of(trial_log_probs(cell, scores));
  std::tie(result.accuracy, result.accuracy_error) = mean_of(right);
  return result;
}

}  // namespace regroup
