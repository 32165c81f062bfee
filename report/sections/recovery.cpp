// The section "Recovery": the curves of comparable runs in one chart, and when each closed the gap.
#include "recovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"

namespace regroup {
namespace {

constexpr size_t kSentencePercent = 1;  // of kRecoveryPercents: 90 %

/// Three digits: a crossing lies somewhere between two validations.
std::string tokens_text(double tokens) {
  const double digits = std::floor(std::log10(std::max(tokens, 1.0)));
  const double unit = std::pow(10, std::max(0.0, digits - 2));
  return grouped_digits(std::llround(std::round(tokens / unit) * unit));
}

std::string crossing_text(const Crossing& crossing) {
  switch (crossing.reached) {
    case Reached::kAtTheStart:
      return "at the start";
    case Reached::kLater:
      return tokens_text(crossing.tokens);
    default:
      return "not reached";
  }
}

/// Colour, marker and dashes of the n-th run; the blue of the parent comes last.
void style_series(size_t n, ChartSeries& series) {
  constexpr std::array<std::pair<int, Marker>, 4> kStyles = {
      {{3, Marker::kCircle}, {2, Marker::kTriangle}, {4, Marker::kDiamond}, {1, Marker::kSquare}}};
  series.colour = kStyles[n % kStyles.size()].first;
  series.marker = kStyles[(n + n / kStyles.size()) % kStyles.size()].second;
  series.dashed = n >= kStyles.size();
}

ChartSeries run_series(const RecoveryRun& run) {
  ChartSeries series{.name = run.label};
  for (const CurvePoint& point : run.run->valid) {
    series.points.push_back({static_cast<double>(point.tokens), point.loss,
                             fmt::format("{}: {} tokens, validation loss {}", run.label,
                                         grouped_digits(point.tokens), short_number(point.loss))});
  }
  return series;
}

LineChart recovery_chart(const Recovery& recovery) {
  LineChart chart{.title = fmt::format("Recovery with {}", heads_text(recovery.n_kv_heads)),
                  .x_label = "uptraining tokens",
                  .y_label = "validation loss (nats a token)",
                  .x_format = AxisFormat::kCount};
  for (size_t r = 0; r < recovery.runs.size(); ++r) {
    chart.series.push_back(run_series(recovery.runs[r]));
    style_series(r, chart.series.back());
  }
  chart.references.push_back(
      {recovery.parent_loss,
       fmt::format("{} {}", role_label(ModelRole::kBaseline), short_number(recovery.parent_loss)),
       role_colour(ModelRole::kBaseline)});
  for (const RecoveryRun& control : recovery.controls) {
    chart.series.push_back(run_series(control));
    chart.series.back().colour = 5;
    chart.series.back().thin = true;
    const double loss = control.run->valid.back().loss;
    chart.references.push_back({loss, fmt::format("{} {}", control.label, short_number(loss)), 5});
  }
  return chart;
}

std::string gap_text(const ReportData& data, const Recovery& recovery) {
  std::string parent =
      recovery.parent_by_control
          ? "as the control had it before its first step"
          : fmt::format("as eval measured it on {}; the validation text may be another",
                        shorten_name(find_baseline(data)->scores.front().on.text));
  if (!recovery.has_gap()) {
    return fmt::format("No run starts above the loss of the parent ({}, {}): there is no gap.",
                       short_number(recovery.parent_loss), parent);
  }
  return fmt::format(
      "All runs are measured on one gap: from the worst start, {} of {}, to the loss of the "
      "parent, {} ({}). When a share of it is closed is interpolated linearly between validations.",
      short_number(recovery.worst_loss()), recovery.runs[recovery.worst].label,
      short_number(recovery.parent_loss), parent);
}

std::string caption(const ReportData& data, const Recovery& recovery) {
  std::string text = fmt::format("{}: validation loss over uptraining tokens. {}",
                                 heads_text(recovery.n_kv_heads), gap_text(data, recovery));
  const bool calibrated = std::any_of(recovery.runs.begin(), recovery.runs.end(),
                                      [](const RecoveryRun& run) { return run.run->calibrated; });
  if (calibrated) text += " Tokens that a conversion was calibrated on are not counted.";
  if (recovery.controls.empty()) return text;
  return text +
         " The control is the parent itself, trained on: what changes there is the doing of text "
         "and "
         "settings, and no recovery.";
}

std::vector<Cell> run_row(const RecoveryRun& run, bool crossings) {
  const ReportUptraining& log = *run.run;
  std::vector<Cell> row = {{run.label},
                           {grouped_digits(log.tokens)},
                           {short_number(log.valid.front().loss)},
                           {short_number(log.valid.back().loss)}};
  for (const Crossing& crossing : run.crossings) {
    row.push_back({crossings ? crossing_text(crossing) : kNothing});
  }
  return row;
}

Table recovery_table(const Recovery& recovery) {
  Table table{
      .caption = fmt::format("Tokens to close the gap at {}", heads_text(recovery.n_kv_heads)),
      .columns = {{"Run"},
                  {"Tokens", ColumnKind::kNumber},
                  {"Loss at the start", ColumnKind::kNumber},
                  {"Loss at the end", ColumnKind::kNumber}},
      .rows = {}};
  for (const int percent : kRecoveryPercents) {
    table.columns.push_back({fmt::format("To {} %", percent), ColumnKind::kNumber});
  }
  for (const RecoveryRun& run : recovery.runs) {
    table.rows.push_back(run_row(run, recovery.has_gap()));
  }
  for (const RecoveryRun& run : recovery.controls) table.rows.push_back(run_row(run, false));
  return table;
}

}  // namespace

std::string recovery_sentence(const Recovery& recovery) {
  std::vector<const RecoveryRun*> runs;
  for (const RecoveryRun& run : recovery.runs) runs.push_back(&run);
  std::stable_sort(runs.begin(), runs.end(), [](const auto* a, const auto* b) {
    const Crossing& x = a->crossings[kSentencePercent];
    const Crossing& y = b->crossings[kSentencePercent];
    return std::pair(x.reached, x.tokens) < std::pair(y.reached, y.tokens);
  });
  const bool commas = std::any_of(runs.begin(), runs.end(), [](const auto* run) {
    return run->label.find(',') != std::string::npos;
  });
  std::string text;
  for (const RecoveryRun* run : runs) {
    const Crossing& crossing = run->crossings[kSentencePercent];
    text += text.empty() ? " " : commas ? "; " : ", ";
    text += shorten_name(run->label) + " " + crossing_text(crossing);
    if (crossing.reached == Reached::kLater) text += " tokens";
  }
  return fmt::format("To {} % of the gap at {}:{}.", kRecoveryPercents[kSentencePercent],
                     heads_text(recovery.n_kv_heads), text);
}

void sections::recovery(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "recovery", .title = "Recovery", .blocks = {}};
  for (const Recovery& recovery : find_recoveries(data)) {
    section.blocks.push_back(Figure{
        .chart = recovery_chart(recovery), .caption = caption(data, recovery), .numbers = {}});
    section.blocks.push_back(recovery_table(recovery));
  }
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

void add_recovery_findings(const ReportData& data, std::vector<Finding>& findings) {
  Finding finding;
  int64_t found = 0;
  for (const Recovery& recovery : find_recoveries(data)) {
    if (!recovery.has_gap()) continue;
    finding.title = fmt::format("Recovery at {}", heads_text(recovery.n_kv_heads));
    finding.verdict += (found > 0 ? " " : "") + recovery_sentence(recovery);
    ++found;
  }
  if (found > 1) finding.title = "Recovery";
  if (found > 0) findings.push_back(std::move(finding));
}

}  // namespace regroup
