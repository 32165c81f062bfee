#include "task_comparison.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "regroup/results/paired.h"

namespace regroup {
namespace {

bool is_compared(Measure measure) {
  return measure != Measure::kBleu && measure != Measure::kWordPerplexity &&
         measure != Measure::kBytePerplexity && measure != Measure::kBitsPerByte;
}

bool is_right_or_wrong(Measure measure) {
  return measure == Measure::kAccuracy || measure == Measure::kAccuracyNorm ||
         measure == Measure::kAccuracyBytes || measure == Measure::kGreedy ||
         measure_name(measure) == "exact_match";
}

std::vector<double> values_of(const EvaluatedTask& task, size_t m, Measure measure) {
  std::vector<double> values;
  for (size_t i = 0; i < task.task.questions.size(); ++i) {
    values.push_back(measure_answer(measure, task.task, task.answers[m], i));
  }
  return values;
}

/// "acc", or "exact_match,strict-match" where answers go through a filter.
std::string title_of(Measure measure) {
  const std::string name(measure_name(measure));
  const std::string filter(measure_filter(measure));
  return filter == "none" ? name : name + "," + filter;
}

Json recovery_json(const PairedRecovery& recovery) {
  if (!recovery.measurable) return "no measurable gap";
  return {{"value", recovery.value},
          {"ci95", {recovery.low, recovery.high}},
          {"dropped_resamples", recovery.dropped}};
}

Json difference_json(const PairedDifference& found, double margin) {
  Json json = {{"items", found.items},
               {"delta", found.delta},
               {"delta_stderr", found.error},
               {"ci95", {found.low, found.high}},
               {"p", found.p}};
  if (!found.broken) return json;
  const double flips =
      static_cast<double>(*found.broken + *found.mended) / static_cast<double>(found.items);
  json["right_to_wrong"] = *found.broken;
  json["wrong_to_right"] = *found.mended;
  json["flips"] = flips;
  json["margin"] = margin;
  json["non_inferior"] = found.low > -margin;
  json["items_needed"] = items_needed(flips, margin);
  return json;
}

}  // namespace

Json compare_tasks(const std::vector<EvaluatedTask>& tasks, const TaskComparison& comparison,
                   const TaskOptions& options) {
  Json all = Json::object();
  for (const EvaluatedTask& task : tasks) {
    if (task.task.questions.size() < 2) continue;
    for (const Measure measure : task.task.definition.measures) {
      if (!is_compared(measure)) continue;
      const auto baseline = values_of(task, comparison.baseline, measure);
      const auto model = values_of(task, comparison.model, measure);
      const auto is_number = [](double value) { return std::isfinite(value); };
      if (!std::all_of(baseline.begin(), baseline.end(), is_number) ||
          !std::all_of(model.begin(), model.end(), is_number)) {
        continue;
      }
      Json json = difference_json(paired_difference(baseline, model, is_right_or_wrong(measure)),
                                  options.margin);
      if (comparison.converted >= 0) {
        const auto converted = values_of(task, static_cast<size_t>(comparison.converted), measure);
        json["recovery"] = recovery_json(paired_recovery(baseline, converted, model));
      }
      all[task.task.name][title_of(measure)] = std::move(json);
    }
  }
  // One measure of many tasks is many tests.
  std::map<std::string, std::vector<std::string>> by_measure;
  for (const auto& [name, measures] : all.items()) {
    for (const auto& [measure, json] : measures.items()) by_measure[measure].push_back(name);
  }
  for (const auto& [measure, names] : by_measure) {
    std::vector<double> p;
    for (const std::string& name : names) p.push_back(all[name][measure].at("p").get<double>());
    const std::vector<double> adjusted = holm(p);
    for (size_t i = 0; i < names.size(); ++i) all[names[i]][measure]["p_holm"] = adjusted[i];
  }
  return all;
}

}  // namespace regroup
