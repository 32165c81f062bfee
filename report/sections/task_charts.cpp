#include "sections/task_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <set>

#include "sections/task_chains.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kNormal95 = 1.96;
constexpr double kLogRatio = 30;  // from here on one linear axis hides the small scores

/// Scores of one metric and filter share an axis.
struct ChartMetric {
  std::string metric;
  std::string filter;
  bool operator==(const ChartMetric&) const = default;
};

ChartMetric chart_metric(const ReportTaskScore& score) {
  return {score.on.metric, score.on.filter};
}

std::string metric_text(const ChartMetric& metric) {
  return metric.filter == "none" ? metric.metric
                                 : fmt::format("{} ({})", metric.metric, metric.filter);
}

/// The metrics of the scores that count, in their order.
template <typename Counts>
std::vector<ChartMetric> metrics_of(const ReportData& data, const Counts& counts) {
  std::vector<ChartMetric> metrics;
  for (const ReportTaskScore& score : data.task_scores) {
    const ChartMetric metric = chart_metric(score);
    const bool known = std::find(metrics.begin(), metrics.end(), metric) != metrics.end();
    if (counts(score) && !known && metrics.size() < kTaskChartMetrics) metrics.push_back(metric);
  }
  return metrics;
}

std::string row_text(const TaskMetric& on) {
  return on.n_shot ? fmt::format("{}, {}-shot", on.task, *on.n_shot) : on.task;
}

const ReportTaskScore* score_of(const ReportData& data, const std::string& model,
                                const TaskMetric& on) {
  for (const ReportTaskScore& score : data.task_scores) {
    if (score.model == model && score.on == on && std::isfinite(score.value.value)) return &score;
  }
  return nullptr;
}

IntervalMark score_mark(const ReportTaskScore& score, const std::string& name, size_t series) {
  IntervalMark mark{.series = series, .value = score.value.value, .low = NAN, .high = NAN};
  mark.title = fmt::format("{}, {}: {}", name, row_text(score.on), short_number(mark.value));
  if (!score.value.error) return mark;
  mark.low = mark.value - kNormal95 * *score.value.error;
  mark.high = mark.value + kNormal95 * *score.value.error;
  mark.title += fmt::format(" ({} to {})", short_number(mark.low), short_number(mark.high));
  return mark;
}

/// The rows that reach the farthest, in their order; says how many there were.
template <typename Reach>
std::string keep_farthest(std::vector<IntervalRow>& rows, const Reach& reach) {
  if (rows.size() <= kTaskChartRows) return "";
  std::vector<size_t> order(rows.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return reach(rows[a]) > reach(rows[b]); });
  order.resize(kTaskChartRows);
  std::sort(order.begin(), order.end());
  const std::string text =
      fmt::format(" Of {} rows the {} that differ most; the table has all.",
                  grouped_digits(static_cast<int64_t>(rows.size())), kTaskChartRows);
  std::vector<IntervalRow> kept;
  for (const size_t i : order) kept.push_back(std::move(rows[i]));
  rows = std::move(kept);
  return text;
}

double spread(const IntervalRow& row) {
  const auto [low, high] = std::minmax_element(
      row.marks.begin(), row.marks.end(),
      [](const IntervalMark& a, const IntervalMark& b) { return a.value < b.value; });
  return high->value - low->value;
}

/// Series that no mark is of have no place in a row.
void drop_unused_series(IntervalChart& chart) {
  std::vector<IntervalSeries> used;
  for (size_t s = 0, place = 0; s < chart.series.size(); ++s) {
    bool found = false;
    for (IntervalRow& row : chart.rows) {
      for (IntervalMark& mark : row.marks) {
        if (mark.series != s) continue;
        mark.series = place;
        found = true;
      }
    }
    if (!found) continue;
    used.push_back(chart.series[s]);
    ++place;
  }
  chart.series = std::move(used);
}

void choose_axis(IntervalChart& chart) {
  double low = std::numeric_limits<double>::infinity();
  double high = 0;
  for (const IntervalRow& row : chart.rows) {
    for (const IntervalMark& mark : row.marks) {
      low = std::min(low, mark.value);
      high = std::max(high, mark.value);
    }
  }
  chart.log_x = low > 0 && high / low > kLogRatio && high > 1;  // shares stay on a linear axis
  if (chart.log_x) chart.x_label += " (logarithmic)";
}

/// A row for each task and chain; `mark` says what a model has there, or nothing.
template <typename Mark>
void add_rows(const ReportData& data, const ChartMetric& metric,
              const std::vector<TaskChain>& chains, IntervalChart& chart, const Mark& mark) {
  std::vector<TaskMetric> seen;
  for (const ReportTaskScore& score : data.task_scores) {
    if (chart_metric(score) != metric) continue;
    if (std::find(seen.begin(), seen.end(), score.on) != seen.end()) continue;
    seen.push_back(score.on);
    for (const TaskChain& chain : chains) {
      IntervalRow row{.label = row_text(score.on), .marks = {}};
      if (!chain.label.empty()) row.label = shorten(row.label, 25) + " · " + chain.label;
      for (const TaskChain::Member& member : chain.members) {
        const ReportTaskScore* found = score_of(data, member.name, score.on);
        if (found == nullptr) continue;
        const auto marked = mark(*found, chart.series[member.series].name, member.series);
        if (marked) row.marks.push_back(*marked);
      }
      if (!row.marks.empty()) chart.rows.push_back(std::move(row));
    }
  }
}

/// "60 items each", "40 to 60 items each"; empty where it is not known.
std::string items_text(const ReportData& data, const ChartMetric& metric) {
  int64_t least = std::numeric_limits<int64_t>::max();
  int64_t most = 0;
  for (const ReportTaskScore& score : data.task_scores) {
    if (chart_metric(score) != metric || score.samples <= 0) continue;
    least = std::min(least, score.samples);
    most = std::max(most, score.samples);
  }
  if (most == 0) return "";
  const std::string range = least == most ? "" : grouped_digits(least) + " to ";
  return fmt::format(", on {}{} items each", range, grouped_digits(most));
}

std::string direction_text(const ReportData& data, const ChartMetric& metric) {
  for (const ReportTaskScore& score : data.task_scores) {
    if (chart_metric(score) != metric || !score.higher_is_better) continue;
    return *score.higher_is_better ? ", higher is better" : ", lower is better";
  }
  return "";
}

void add_dumbbell(const ReportData& data, const ChartMetric& metric, Section& section) {
  IntervalChart chart{.title = "Scores of tasks: " + metric_text(metric),
                      .x_label = metric_text(metric) + direction_text(data, metric),
                      .series = role_series(),
                      .rows = {},
                      .joined = true};
  std::vector<TaskChain> chains = task_chains(data);
  if (chains.empty()) chains = {chain_of_names(data, chart.series)};
  add_rows(data, metric, chains, chart,
           [](const ReportTaskScore& score, const std::string& name, size_t series) {
             return std::optional(score_mark(score, name, series));
           });
  std::erase_if(chart.rows, [](const IntervalRow& row) { return row.marks.size() < 2; });
  if (chart.rows.empty()) return;
  const std::string cut = keep_farthest(chart.rows, spread);
  drop_unused_series(chart);
  choose_axis(chart);
  section.blocks.push_back(
      Figure{.chart = std::move(chart),
             .caption = fmt::format("{} of each model{}, with 95 % intervals.{}",
                                    metric_text(metric), items_text(data, metric), cut),
             .numbers = {},
             .repeats_table = true});
}

IntervalMark difference_mark(const ReportTaskScore& score, const std::string& name, size_t series) {
  const ReportPaired& paired = *score.paired;
  return {.series = series,
          .value = paired.delta.value,
          .low = paired.low,
          .high = paired.high,
          .title = fmt::format("{}, {}: {} ({} to {})", name, row_text(score.on),
                               short_number(paired.delta.value), short_number(paired.low),
                               short_number(paired.high))};
}

/// A line at no difference, and where the loss is that may be.
std::vector<IntervalLine> difference_lines(const ReportData& data, const ChartMetric& metric) {
  std::set<double> margins;
  for (const ReportTaskScore& score : data.task_scores) {
    if (!score.paired || chart_metric(score) != metric) continue;
    if (score.paired->margin) margins.insert(*score.paired->margin);
  }
  std::vector<IntervalLine> lines = {{0, "no difference"}};
  for (const double margin : margins) {
    lines.push_back({-margin, fmt::format("−{}: the margin", short_number(margin))});
  }
  return lines;
}

void add_forest(const ReportData& data, const ChartMetric& metric, Section& section) {
  // What eval compares of a perplexity are log-likelihoods.
  const std::string what = metric.metric == "perplexity" ? "log-likelihood" : metric_text(metric);
  IntervalChart chart{.title = "Against the baseline: " + what,
                      .x_label = what + " − before",
                      .series = role_series(),
                      .rows = {},
                      .lines = difference_lines(data, metric)};
  add_rows(data, metric, task_chains(data), chart,
           [](const ReportTaskScore& score, const std::string& name, size_t series) {
             return score.paired && std::isfinite(score.paired->delta.value)
                        ? std::optional(difference_mark(score, name, series))
                        : std::nullopt;
           });
  if (chart.rows.empty()) return;
  const std::string cut = keep_farthest(chart.rows, [](const IntervalRow& row) {
    double farthest = 0;
    for (const IntervalMark& mark : row.marks) farthest = std::max(farthest, std::abs(mark.value));
    return farthest;
  });
  drop_unused_series(chart);
  std::string caption = fmt::format(
      "{} against the baseline on the same questions{}, with 95 % intervals of the paired "
      "bootstrap.",
      what, items_text(data, metric));
  if (chart.lines.size() > 1)
    caption += " An interval that lies right of the margin is not inferior.";
  section.blocks.push_back(Figure{
      .chart = std::move(chart), .caption = caption + cut, .numbers = {}, .repeats_table = true});
}

}  // namespace

void add_task_charts(const ReportData& data, Section& section) {
  for (const ChartMetric& metric : metrics_of(data, [](const auto&) { return true; })) {
    add_dumbbell(data, metric, section);
  }
  const auto is_compared = [](const ReportTaskScore& score) { return score.paired.has_value(); };
  for (const ChartMetric& metric : metrics_of(data, is_compared)) {
    add_forest(data, metric, section);
  }
}

}  // namespace regroup
