// The course of each uptraining run.
#include <fmt/format.h>

#include <algorithm>

#include "compose.h"
#include "recovery.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"
#include "sections/models.h"

namespace regroup {
namespace {

ChartSeries curve_series(const std::vector<CurvePoint>& points, bool by_tokens) {
  ChartSeries series;
  for (const CurvePoint& point : points) {
    series.points.push_back({static_cast<double>(by_tokens ? point.tokens : point.step), point.loss,
                             fmt::format("step {}, {} tokens: loss {}", grouped_digits(point.step),
                                         grouped_digits(point.tokens), short_number(point.loss))});
  }
  return series;
}

LineChart curve_chart(const ReportData& data, const ReportUptraining& run) {
  const bool by_tokens = run.tokens > 0;
  LineChart chart{.title = fmt::format("Uptraining with {}", heads_text(run.n_kv_heads)),
                  .x_label = by_tokens ? "uptraining tokens" : "step",
                  .y_label = "loss (nats a token)",
                  .x_format = AxisFormat::kCount};
  if (!run.train.empty()) {
    ChartSeries train = curve_series(run.train, by_tokens);
    train.name = "training loss";
    train.colour = 4;
    train.thin = true;
    train.marker = run.train.size() == 1 ? Marker::kDiamond : Marker::kNone;
    chart.series.push_back(std::move(train));
  }
  if (!run.valid.empty()) {
    ChartSeries valid = curve_series(run.valid, by_tokens);
    valid.name = "validation loss";
    valid.colour = 3;
    valid.marker = Marker::kCircle;
    chart.series.push_back(std::move(valid));
  }
  const std::vector<EvaluatedOn> texts = evaluations(data);
  if (texts.empty()) return chart;
  add_loss_line(find_converted(data, run), texts[0], chart);
  add_loss_line(find_baseline(data), texts[0], chart);
  return chart;
}

/// About ten rows of a curve, evenly spaced, with the first and the last.
Table curve_table(const ReportUptraining& run) {
  const bool valid = !run.valid.empty();
  const std::vector<CurvePoint>& points = valid ? run.valid : run.train;
  Table table{.caption = valid ? "Validation loss" : "Training loss",
              .columns = {{"Step", ColumnKind::kNumber},
                          {"Tokens", ColumnKind::kNumber},
                          {"Loss", ColumnKind::kNumber}},
              .rows = {}};
  const size_t rows = std::min<size_t>(points.size(), 11);
  for (size_t r = 0; r < rows; ++r) {
    const size_t at = rows == 1 ? 0 : r * (points.size() - 1) / (rows - 1);
    table.rows.push_back({{grouped_digits(points[at].step)},
                          {grouped_digits(points[at].tokens)},
                          {short_number(points[at].loss)}});
  }
  return table;
}

std::string run_summary(const ReportUptraining& run) {
  std::string text =
      fmt::format("{} steps, {} tokens", grouped_digits(run.steps), grouped_digits(run.tokens));
  if (run.planned_steps > run.steps) {
    text += fmt::format(" of {} planned steps", grouped_digits(run.planned_steps));
  }
  if (run.seconds > 0) text += ", " + human_seconds(run.seconds);
  return text + (run.teacher.empty() ? ", no teacher." : ", with a teacher.");
}

}  // namespace

void sections::uptraining(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "uptraining", .title = "Uptraining", .blocks = {}};
  for (const ReportUptraining& run : data.uptrainings) {
    if (run.train.empty() && run.valid.empty()) continue;
    LineChart chart = curve_chart(data, run);
    std::string caption =
        fmt::format("{}: {}", heads_text(run.n_kv_heads) + run_suffix(data, run), run_summary(run));
    if (!chart.references.empty()) {
      caption += fmt::format(
          " The dashed lines are eval's losses on {}; the run's validation text "
          "may be another.",
          shorten_name(evaluations(data)[0].text));
    }
    section.blocks.push_back(Figure{
        .chart = std::move(chart), .caption = std::move(caption), .numbers = curve_table(run)});
  }
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
