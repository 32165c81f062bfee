// The section of quality before and after.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "compose.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"
#include "sections/models.h"
#include "sections/positions.h"

namespace regroup {
namespace {

constexpr double kNormal95 = 1.96;

std::string model_heads(const ReportModel& model) { return std::to_string(model.n_kv_heads); }

/// A column of the quality table.
struct MetricColumn {
  std::string title;
  std::string metric;
  double factor = 1;
  const char* unit = "";
};
const std::array<MetricColumn, 7> kColumns = {{
    {"Loss", metric::kLoss, 1, ""},
    {"Perplexity", metric::kPerplexity, 1, ""},
    {"Bits a byte", metric::kBitsPerByte, 1, ""},
    {"Loss − before", metric::kLossDelta, 1, ""},
    {"KL to before", metric::kKl, 1, ""},
    {"Same top token", metric::kAgreement, 100, " %"},
    {"Recovery", metric::kRecovery, 100, " %"},
}};

/// Against itself the baseline has no difference, no KL and full agreement: nothing to read.
bool is_comparison(const std::string& name) {
  const TextMetric* known = find_text_metric(name);
  return known != nullptr && known->against_baseline;
}

Cell metric_cell(const ReportData& data, const ReportModel& model, const ReportScore& score,
                 const MetricColumn& column) {
  if (model.role == "baseline" && is_comparison(column.metric)) return {kNothing};
  if (column.metric == metric::kRecovery && score[metric::kRecovery]) {
    const ReportModel* converted = find_converted(data, model);
    const ReportScore* before = converted ? find_score(*converted, score.on) : nullptr;
    if (before != nullptr && no_measurable_gap(*before)) return {"no measurable gap"};
  }
  return measured_cell(score[column.metric], column.factor, column.unit);
}

/// A metric of other versions or programs, by its name.
void add_unknown(const Metric& metric, std::vector<MetricColumn>& columns) {
  const std::string title = metric_title(metric.name, metric.filter);
  const bool shown = std::any_of(columns.begin(), columns.end(), [&](const MetricColumn& column) {
    return column.metric == title;
  });
  if (shown || find_text_metric(title) != nullptr || !std::isfinite(metric.value)) return;
  columns.push_back({.title = title, .metric = title});
}

std::vector<MetricColumn> columns_with_values(const Scored& scored) {
  std::vector<MetricColumn> columns;
  for (const MetricColumn& column : kColumns) {
    const bool known = std::any_of(scored.begin(), scored.end(), [&](const auto& row) {
      const bool itself = row.first->role == "baseline" && is_comparison(column.metric);
      return !itself && (*row.second)[column.metric].has_value();
    });
    if (known) columns.push_back(column);
  }
  for (const auto& [model, score] : scored) {
    for (const Metric& metric : score->metrics) add_unknown(metric, columns);
  }
  return columns;
}

Table quality_table(const ReportData& data, const EvaluatedOn& on) {
  const Scored scored = scored_on(data, on);
  const std::vector<MetricColumn> columns = columns_with_values(scored);
  Table table{.caption = fmt::format("{}: {} tokens scored", on.text, grouped_digits(on.tokens)),
              .columns = {{"Model"},
                          {"KV heads", ColumnKind::kNumber},
                          {"KV cache a token", ColumnKind::kNumber}},
              .rows = {}};
  if (on.seq_len > 0) {
    table.caption += fmt::format(", windows of {} tokens", grouped_digits(on.seq_len));
  }
  for (const MetricColumn& column : columns) {
    table.columns.push_back({column.title, ColumnKind::kNumber});
  }
  for (const auto& [model, score] : scored) {
    const bool cache = model->kv_bytes_per_token > 0;
    std::vector<Cell> row = {model_cell(data, *model),
                             {model_heads(*model)},
                             {cache ? human_bytes(model->kv_bytes_per_token) : kNothing}};
    for (const MetricColumn& column : columns) {
      row.push_back(metric_cell(data, *model, *score, column));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

ChartSeries pareto_series(const ReportData& data, const Scored& scored, ModelRole role,
                          Marker marker) {
  ChartSeries series{.name = role_label(role),
                     .colour = role_colour(role),
                     .marker = marker,
                     .line = role != ModelRole::kBaseline,
                     .dashed = role == ModelRole::kConverted};
  for (const auto& [model, score] : scored) {
    const auto& loss = (*score)[metric::kLoss];
    if (role_in(data, *model) != role || !loss || model->kv_bytes_per_token <= 0) continue;
    ChartPoint point{
        .x = static_cast<double>(model->kv_bytes_per_token),
        .y = loss->value,
        .title = fmt::format("{}, {}: {} a token, loss {}", role_label(role),
                             heads_text(model->n_kv_heads), human_bytes(model->kv_bytes_per_token),
                             measured_text(loss))};
    if (loss->error) {
      point.low = loss->value - kNormal95 * *loss->error;
      point.high = loss->value + kNormal95 * *loss->error;
    }
    series.points.push_back(std::move(point));
  }
  series.line = series.line && series.points.size() > 1;
  return series;
}

/// Quality against memory, worth a picture from two numbers of KV heads on.
void add_pareto(const ReportData& data, const EvaluatedOn& on, Section& section) {
  const Scored scored = scored_on(data, on);
  LineChart chart{.title = "Loss against the KV cache's bytes a token",
                  .x_label = "KV cache a token (logarithmic)",
                  .y_label = "loss (nats a token)",
                  .x_format = AxisFormat::kBytes,
                  .log_x = true};
  std::set<double> sizes;
  for (const auto& [role, marker] : {std::pair{ModelRole::kBaseline, Marker::kSquare},
                                     std::pair{ModelRole::kConverted, Marker::kTriangle},
                                     std::pair{ModelRole::kUptrained, Marker::kCircle},
                                     std::pair{ModelRole::kControl, Marker::kDiamond}}) {
    ChartSeries series = pareto_series(data, scored, role, marker);
    for (const ChartPoint& point : series.points) sizes.insert(point.x);
    if (!series.points.empty()) chart.series.push_back(std::move(series));
  }
  if (sizes.size() < 3) return;
  chart.x_ticks.assign(sizes.begin(), sizes.end());
  add_loss_line(find_baseline(data), on, chart);
  section.blocks.push_back(
      Figure{.chart = std::move(chart),
             .caption = fmt::format("Quality against memory, on {} tokens of {}, with 95 % "
                                    "intervals: lower is better, further left is smaller.",
                                    grouped_digits(on.tokens), shorten_name(on.text)),
             .numbers = {},
             .repeats_table = true});
}

void add_model_positions(const ReportData& data, const EvaluatedOn& on, Section& section) {
  std::vector<ProfileRow> rows;
  for (const auto& [model, score] : scored_on(data, on)) {
    Cell label = model_cell(data, *model);
    if (label.note.empty()) label.note = heads_text(model->n_kv_heads);
    rows.push_back({std::move(label), model_label(data, *model), &score->profile});
  }
  add_positions(fmt::format("{} in windows of {}", on.text, grouped_digits(on.seq_len)), rows,
                section);
}

}  // namespace

void sections::quality(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "quality", .title = "Quality before and after", .blocks = {}};
  for (const EvaluatedOn& on : evaluations(data)) {
    section.blocks.push_back(quality_table(data, on));
    add_pareto(data, on, section);
    add_model_positions(data, on, section);
  }
  if (section.blocks.empty()) return;
  section.blocks.push_back(Paragraph{
      "± is one standard error, over the windows of the text. Loss and KL are nats a token; "
      "recovery is the share of the gap in loss (log perplexity) between the original and the "
      "converted model that uptraining closed."});
  all.push_back(std::move(section));
}

}  // namespace regroup
