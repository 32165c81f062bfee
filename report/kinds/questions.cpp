#include "kinds/questions.h"

#include <algorithm>
#include <cmath>
#include <span>

namespace regroup {
namespace {

/// Whether a task has a score at all: what overflows is "N/A".
bool has_number(const TaskResult& task) {
  return std::any_of(task.metrics.begin(), task.metrics.end(),
                     [](const Metric& metric) { return std::isfinite(metric.value); });
}

ReportPaired report_paired(const TaskDifference& found) {
  ReportPaired paired{.delta = found.delta,
                      .low = found.low,
                      .high = found.high,
                      .p = found.p_holm,
                      .broken = found.broken,
                      .mended = found.mended,
                      .margin = found.margin,
                      .items_needed = found.items_needed.value_or(0),
                      .recovery = {}};
  if (!found.recovery) return paired;
  paired.no_gap = !found.recovery->measurable;
  if (found.recovery->measurable) paired.recovery = found.recovery->value;
  return paired;
}

/// To the scores that the same results gave.
void add_paired(const std::vector<TaskDifference>& all, std::span<ReportTaskScore> added) {
  for (const TaskDifference& found : all) {
    for (ReportTaskScore& score : added) {
      const bool same = score.on.task == found.task &&
                        metric_title(score.on.metric, score.on.filter) == found.measure;
      if (same) score.paired = report_paired(found);
    }
  }
}

/// What needles were hidden in, of probes that ask for a text of the user's.
std::string haystack_of(const ProbeResult& probe) {
  if (probe.noise_stands_in == true) {
    return "sentences about nothing, since no --probe-text was given";
  }
  return probe.text ? probe.text->name : "";
}

/// Later measurements of the same model replace earlier ones. In the harness's own layout a probe has no cells, and nothing
/// that a report shows.
void add_probes(const ModelResult& model, ReportData& data) {
  for (const ProbeResult& result : model.probes) {
    if (result.cells.empty()) continue;
    ReportProbe probe{.model = model.name,
                      .role = model.role,
                      .name = result.name,
                      .axis = result.axis,
                      .haystack = haystack_of(result),
                      .cells = result.cells,
                      .baseline_can = result.baseline_can,
                      .log_prob_delta = {}};
    if (result.difference) {
      probe.log_prob_delta = result.difference->delta;
      probe.low = result.difference->low;
      probe.high = result.difference->high;
    }
    std::erase_if(data.probes, [&](const ReportProbe& known) {
      return known.name == probe.name && known.model == probe.model;
    });
    data.probes.push_back(std::move(probe));
  }
}

}  // namespace

void add_questions(const ModelResult& model, const std::string& path, ReportData& data) {
  HarnessTasks tasks{.model = model.name, .tasks = model.tasks};
  std::erase_if(tasks.tasks, [](const TaskResult& task) { return !has_number(task); });
  const size_t known = data.task_scores.size();
  if (!tasks.tasks.empty()) add_task_scores(tasks, path, data);
  if (model.paired) add_paired(*model.paired, std::span(data.task_scores).subspan(known));
  add_probes(model, data);
}

}  // namespace regroup
