#include "task_comparison.h"

#include <algorithm>
#include <cmath>
#include <map>

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

std::string title_of(Measure measure) {
  return metric_title(std::string(measure_name(measure)), std::string(measure_filter(measure)));
}

TaskDifference task_difference(const EvaluatedTask& task, Measure measure,
                               const PairedDifference& found, double margin) {
  TaskDifference result{.task = task.task.name,
                        .measure = title_of(measure),
                        .items = found.items,
                        .delta = {found.delta, found.error},
                        .low = found.low,
                        .high = found.high,
                        .p = found.p};
  if (!found.broken) return result;
  result.broken = found.broken;
  result.mended = found.mended;
  result.flips =
      static_cast<double>(*found.broken + *found.mended) / static_cast<double>(found.items);
  result.margin = margin;
  result.non_inferior = found.low > -margin;
  result.items_needed = items_needed(*result.flips, margin);
  return result;
}

GapClosed gap_closed(const PairedRecovery& recovery) {
  return {.measurable = recovery.measurable,
          .value = recovery.value,
          .low = recovery.low,
          .high = recovery.high,
          .dropped = recovery.dropped};
}

/// One measure of many tasks is many tests.
void correct_for_tasks(std::vector<TaskDifference>& all) {
  std::map<std::string, std::vector<TaskDifference*>> by_measure;
  for (TaskDifference& found : all) by_measure[found.measure].push_back(&found);
  for (const auto& [measure, tests] : by_measure) {
    std::vector<double> p;
    for (const TaskDifference* test : tests) p.push_back(test->p);
    const std::vector<double> adjusted = holm(p);
    for (size_t i = 0; i < tests.size(); ++i) tests[i]->p_holm = adjusted[i];
  }
}

}  // namespace

std::vector<TaskDifference> compare_tasks(const std::vector<EvaluatedTask>& tasks,
                                          const TaskComparison& comparison,
                                          const TaskOptions& options) {
  std::vector<TaskDifference> all;
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
      all.push_back(task_difference(task, measure,
                                    paired_difference(baseline, model, is_right_or_wrong(measure)),
                                    options.margin));
      if (comparison.converted >= 0) {
        const auto converted = values_of(task, static_cast<size_t>(comparison.converted), measure);
        all.back().recovery = gap_closed(paired_recovery(baseline, converted, model));
      }
    }
  }
  correct_for_tasks(all);
  return all;
}

}  // namespace regroup
