// How many KV heads are enough: what each number loses against its cache and against the cost of a trace.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "compose.h"
#include "regroup/base/human_measure.h"
#include "regroup/base/human_number.h"
#include "regroup/results/serving_cost.h"
#include "report_document.h"
#include "report_numbers.h"

namespace regroup {
namespace {

constexpr double kNormal95 = 1.96;

/// What a chart sets the loss against.
struct SweepAxis {
  bool by_cost = false;

  std::optional<double> at(const ReportSweepPoint& point) const {
    if (!by_cost) return static_cast<double>(point.kv_bytes_per_token);
    return point.traffic ? point.traffic->cost : std::nullopt;
  }
  bool on_front(const ReportSweepPoint& point) const {
    return by_cost ? point.cost_front : point.cache_front;
  }
};

bool has_price(const ReportSweep& sweep) { return sweep.cost_unit == "price"; }

std::string cost_title(const ReportSweep& sweep) {
  return has_price(sweep) ? "Cost of 1 M tokens" : "Device hours for 1 M tokens";
}

std::string texts_of(const ReportSweep& sweep) {
  if (sweep.points.empty() || sweep.points[0].losses.empty()) return "the text";
  const auto& losses = sweep.points[0].losses;
  if (losses.size() == 1) return shorten_name(losses[0].text);
  return fmt::format("{} texts, their mean", losses.size());
}

ChartPoint chart_point(const ReportSweep& sweep, const ReportSweepPoint& point, double x) {
  const double error = point.increase.error.value_or(0);
  ChartPoint shown{.x = x,
                   .y = point.increase.value,
                   .title = fmt::format("{}: loss {} above before", heads_text(point.n_kv_heads),
                                        measured_text(point.increase)),
                   .label = fmt::format("G = {}", point.n_kv_heads)};
  if (point.n_kv_heads == sweep.chosen) shown.label += ", chosen";
  if (error > 0) {
    shown.low = shown.y - kNormal95 * error;
    shown.high = shown.y + kNormal95 * error;
  }
  return shown;
}

/// Of the numbers of KV heads that can serve the traffic.
std::vector<double> costs_of(const ReportSweep& sweep) {
  std::vector<double> costs;
  for (const ReportSweepPoint& point : sweep.points) {
    if (point.traffic && point.traffic->cost) costs.push_back(*point.traffic->cost);
  }
  return costs;
}

/// The front joined, and what it beats.
void add_series(const ReportSweep& sweep, const SweepAxis& axis, LineChart& chart) {
  ChartSeries front{.name = "on the Pareto front", .colour = 3, .marker = Marker::kCircle};
  ChartSeries beaten{
      .name = "beaten by another", .colour = 2, .marker = Marker::kTriangle, .line = false};
  for (const ReportSweepPoint& point : sweep.points) {
    const std::optional<double> x = axis.at(point);
    if (!x) continue;
    (axis.on_front(point) ? front : beaten).points.push_back(chart_point(sweep, point, *x));
  }
  for (ChartSeries* series : {&front, &beaten}) {
    if (!series->points.empty()) chart.series.push_back(std::move(*series));
  }
}

/// The numbers of the chart, for those who cannot see it.
Table chart_numbers(const ReportSweep& sweep, const SweepAxis& axis, const std::string& caption) {
  Table table{
      .caption = caption,
      .columns = {{"KV heads", ColumnKind::kNumber},
                  {axis.by_cost ? cost_title(sweep) : "KV cache a token", ColumnKind::kNumber},
                  {"Loss − before", ColumnKind::kNumber},
                  {"95 % interval", ColumnKind::kNumber},
                  {"On the front"}},
      .rows = {}};
  for (const ReportSweepPoint& point : sweep.points) {
    const std::optional<double> x = axis.at(point);
    if (!x) continue;
    const ChartPoint shown = chart_point(sweep, point, *x);
    const bool known = shown.low < shown.high;
    table.rows.push_back(
        {{std::to_string(point.n_kv_heads)},
         {axis.by_cost ? short_number(*x) : human_bytes(point.kv_bytes_per_token)},
         {measured_text(point.increase)},
         {known ? fmt::format("{} to {}", short_number(shown.low), short_number(shown.high))
                : kNothing},
         {axis.on_front(point) ? "yes" : "no"}});
  }
  return table;
}

Figure sweep_figure(const ReportSweep& sweep, const SweepAxis& axis) {
  const std::string cost =
      cost_title(sweep) + (has_price(sweep) ? " (in the currency of the price)" : "");
  const std::string against = axis.by_cost ? cost : std::string("KV cache a token (logarithmic)");
  const std::string title =
      axis.by_cost ? "Loss against the cost of the traffic" : "Loss against the KV cache";
  LineChart chart{.title = title,
                  .x_label = against,
                  .y_label = "loss − before (nats a token)",
                  .x_format = axis.by_cost ? AxisFormat::kNumber : AxisFormat::kBytes,
                  .log_x = !axis.by_cost};
  add_series(sweep, axis, chart);
  if (!axis.by_cost) {
    for (const ReportSweepPoint& point : sweep.points) {
      chart.x_ticks.push_back(static_cast<double>(point.kv_bytes_per_token));
    }
    std::sort(chart.x_ticks.begin(), chart.x_ticks.end());
  }
  for (const ReportTolerance& tolerance : sweep.tolerances) {
    if (tolerance.kind != "loss") continue;
    chart.references.push_back(
        {tolerance.limit, fmt::format("tolerance {:g}", tolerance.limit), 4});
  }
  return {
      .chart = std::move(chart),
      .caption = fmt::format(
          "{}, on {}, with 95 % intervals: lower is better, further left {}. G is the number of "
          "KV heads; no point beats those that are joined.",
          title, texts_of(sweep), axis.by_cost ? "costs less" : "is smaller"),
      .numbers = chart_numbers(sweep, axis, title)};
}

std::string tolerance_name(const ReportTolerance& tolerance) {
  if (tolerance.kind == "loss" && tolerance.name.empty()) return "Loss";
  std::string name = shorten_name(tolerance.name);
  if (!tolerance.metric.empty()) name += ", " + tolerance.metric;
  return tolerance.kind == "loss" ? "Loss on " + name : name;
}

void add_traffic_cells(const ReportSweepPoint& point, std::vector<Cell>& row) {
  if (!point.traffic) {
    row.insert(row.end(), 4, Cell{kNothing});
    return;
  }
  row.push_back({fmt::format("{:.1f}", point.traffic->concurrency)});
  row.push_back({human_latency(point.traffic->ttft_p99_s)});
  row.push_back({human_rate(point.traffic->tokens_per_s)});
  row.push_back({point.traffic->cost ? short_number(*point.traffic->cost) : kNothing});
}

/// Of several texts each its own.
Cell divergence_cell(const ReportSweepPoint& point) {
  if (point.losses.size() == 1) return measured_cell(point.losses[0].kl, 1, "");
  std::string text;
  for (const ReportLossIncrease& increase : point.losses) {
    text += (text.empty() ? "" : "; ") + measured_text(increase.kl);
  }
  return {text.empty() ? kNothing : text};
}

Table points_table(const ReportSweep& sweep) {
  const bool limited = !sweep.tolerances.empty();
  Table table{.caption = "Every number of KV heads",
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Model"},
                          {"KV cache a token", ColumnKind::kNumber},
                          {"Loss − before", ColumnKind::kNumber},
                          {"KL to before", ColumnKind::kNumber}},
              .rows = {}};
  if (limited) table.columns.push_back({"Within the tolerances"});
  if (sweep.has_traffic) {
    table.caption += sweep.trace.empty() ? ", and a trace that was made up"
                                         : ", and the trace " + shorten_name(sweep.trace);
    table.columns.insert(table.columns.end(), {{"Requests at once", ColumnKind::kNumber},
                                               {"First token, 99 %", ColumnKind::kNumber},
                                               {"Tokens a second", ColumnKind::kNumber},
                                               {cost_title(sweep), ColumnKind::kNumber}});
  }
  for (const ReportSweepPoint& point : sweep.points) {
    const ModelRole role = parse_role(point.role);
    std::vector<Cell> row = {{std::to_string(point.n_kv_heads)},
                             {.text = role_label(role), .role = role},
                             {human_bytes(point.kv_bytes_per_token)},
                             measured_cell(point.increase, 1, ""),
                             divergence_cell(point)};
    if (limited) row.push_back({point.within ? (*point.within ? "yes" : "no") : kNothing});
    if (sweep.has_traffic) add_traffic_cells(point, row);
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table tolerance_table(const ReportSweep& sweep) {
  Table table{.caption = "What is lost against before, and what may be: the upper end counts",
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Score"},
                          {"Lost", ColumnKind::kNumber},
                          {"95 % interval", ColumnKind::kNumber},
                          {"Tolerance", ColumnKind::kNumber},
                          {"Upper end over it", ColumnKind::kNumber}},
              .rows = {}};
  for (const ReportSweepPoint& point : sweep.points) {
    for (const ReportToleranceCheck& check : point.checks) {
      table.rows.push_back(
          {{std::to_string(point.n_kv_heads)},
           {.text = tolerance_name(check.tolerance), .note = check.tolerance.unit},
           measured_cell(check.lost, 1, ""),
           {fmt::format("{} to {}", short_number(check.low), short_number(check.high))},
           {short_number(check.tolerance.limit)},
           {check.within ? "within" : short_number(check.excess)}});
    }
  }
  return table;
}

std::string sentence_of(std::string finding) {
  if (!finding.empty() && finding[0] >= 'a' && finding[0] <= 'z') {
    finding[0] = static_cast<char>(finding[0] - 'a' + 'A');
  }
  return finding + ".";
}

void add_sweep(const ReportSweep& sweep, Section& section) {
  for (const std::string& finding : sweep.findings) {
    section.blocks.push_back(Paragraph{sentence_of(finding)});
  }
  if (sweep.points.empty()) return;
  section.blocks.push_back(sweep_figure(sweep, {.by_cost = false}));
  if (costs_differ(costs_of(sweep)))
    section.blocks.push_back(sweep_figure(sweep, {.by_cost = true}));
  section.blocks.push_back(points_table(sweep));
  if (!sweep.tolerances.empty()) section.blocks.push_back(tolerance_table(sweep));
}

}  // namespace

void sections::sweep(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "sweep", .title = "How many KV heads are enough", .blocks = {}};
  for (const ReportSweep& sweep : data.sweeps) add_sweep(sweep, section);
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
