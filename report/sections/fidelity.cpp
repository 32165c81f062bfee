// How far single tokens are from the original's: KL divergence and the right token's probability.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "compose.h"
#include "report_document.h"
#include "report_numbers.h"
#include "report_queries.h"
#include "sections/models.h"

namespace regroup {
namespace {

constexpr double kFirstShare = 0.5;  // of a curve: what half of the tokens stay below says little

bool has_distances(const ReportScore& score) {
  return score[metric::kKlMedian] || score[metric::kDeltaP] || !score.curve.kl.empty();
}

/// The models that were compared; the baseline is not, against itself.
Scored compared_on(const ReportData& data, const EvaluatedOn& on) {
  Scored scored = scored_on(data, on);
  std::erase_if(scored, [](const auto& row) {
    return row.first->role == "baseline" || !has_distances(*row.second);
  });
  return scored;
}

/// What all tables say of a row first. n stands in every row.
std::vector<Cell> row_head(const ReportData& data, const ReportModel& model,
                           const ReportScore& score) {
  return {model_cell(data, model),
          {std::to_string(model.n_kv_heads)},
          {grouped_digits(score.on.tokens)}};
}

Table table_of_distances(const std::string& caption, const std::vector<const char*>& titles) {
  Table table{
      .caption = caption,
      .columns = {{"Model"}, {"KV heads", ColumnKind::kNumber}, {"Tokens", ColumnKind::kNumber}},
      .rows = {}};
  for (const char* title : titles) table.columns.push_back({title, ColumnKind::kNumber});
  return table;
}

/// A quantile with its 95 % interval; without one as any other number.
Cell quantile_cell(const std::optional<Measured>& measured, const QuantileEstimate& found,
                   double factor, const char* unit) {
  const double value = measured ? measured->value : found.value;
  if (!std::isfinite(found.low) || !std::isfinite(found.high)) {
    if (measured) return measured_cell(measured, factor, unit);
    return {std::isfinite(value) ? short_number(factor * value) + unit : kNothing};
  }
  return {.text = short_number(factor * value) + unit,
          .note = fmt::format("{:.3g} to {:.3g}", factor * found.low, factor * found.high)};
}

Table divergence_table(const ReportData& data, const EvaluatedOn& on, const Scored& scored) {
  Table table =
      table_of_distances(fmt::format("{}: KL(before ‖ model) of single tokens, nats", on.text),
                         {"Mean", "Median", "90 %", "99 %", "99.9 %", "Largest"});
  constexpr std::array<std::pair<const char*, double>, 5> kQuantiles = {{{metric::kKlMedian, 0.5},
                                                                         {metric::kKl90, 0.9},
                                                                         {metric::kKl99, 0.99},
                                                                         {metric::kKl999, 0.999},
                                                                         {metric::kKlMax, 1}}};
  for (const auto& [model, score] : scored) {
    std::vector<Cell> row = row_head(data, *model, *score);
    row.push_back(measured_cell((*score)[metric::kKl], 1, ""));
    for (const auto& [metric, share] : kQuantiles) {
      row.push_back(
          quantile_cell((*score)[metric], score->curve.at(score->curve.kl, share), 1, ""));
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

Table probability_table(const ReportData& data, const EvaluatedOn& on, const Scored& scored) {
  Table table = table_of_distances(
      fmt::format("{}: probability of the right token, model − before, percentage points", on.text),
      {"Mean", "RMS", "1 %", "Median", "99 %", "Same top token"});
  // Results of earlier versions have no correlation.
  const bool correlated = std::any_of(scored.begin(), scored.end(), [](const auto& row) {
    return (*row.second)[metric::kNllCorrelation].has_value();
  });
  if (correlated) table.columns.push_back({"Correlation of log p", ColumnKind::kNumber});
  for (const auto& [model, score] : scored) {
    std::vector<Cell> row = row_head(data, *model, *score);
    row.push_back(measured_cell((*score)[metric::kDeltaP], 100, ""));
    row.push_back(measured_cell((*score)[metric::kRmsDeltaP], 100, ""));
    for (const double share : {0.01, 0.5, 0.99}) {
      row.push_back(
          quantile_cell(std::nullopt, score->curve.at(score->curve.delta_p, share), 100, ""));
    }
    row.push_back(measured_cell((*score)[metric::kAgreement], 100, " %"));
    if (correlated) row.push_back(measured_cell((*score)[metric::kNllCorrelation], 100, " %"));
    table.rows.push_back(std::move(row));
  }
  return table;
}

/// "99 %", "lowest", "largest".
std::string share_text(double share) {
  if (share == 0) return "lowest";
  return share == 1 ? "largest" : fmt::format("{:.4g} %", 100 * share);
}

/// Of how many tokens one lies beyond the quantile; the largest is one of all.
double one_in(const FidelityCurve& curve, double share) {
  const auto tokens = static_cast<double>(std::max<int64_t>(curve.tokens, 1));
  return share < 1 ? std::min(tokens, 1 / (1 - share)) : tokens;
}

ChartSeries curve_series(const ReportData& data, const ReportModel& model,
                         const FidelityCurve& curve) {
  const std::string name = model_label(data, model);
  ChartSeries series{.name = name};
  for (size_t i = 0; i < curve.kl.size(); ++i) {
    if (curve.shares[i] < kFirstShare) continue;
    series.points.push_back({one_in(curve, curve.shares[i]), curve.kl[i].value,
                             fmt::format("{}, {}: {}", name, share_text(curve.shares[i]),
                                         short_number(curve.kl[i].value))});
  }
  return series;
}

Table curve_numbers(const ReportData& data, const Scored& scored) {
  Table table{.caption = "",
              .columns = {{"Model"},
                          {"Tokens below", ColumnKind::kNumber},
                          {"KL", ColumnKind::kNumber},
                          {"Probability", ColumnKind::kNumber}},
              .rows = {}};
  for (const auto& [model, score] : scored) {
    const FidelityCurve& curve = score->curve;
    for (size_t i = 0; i < curve.kl.size(); ++i) {
      const double share = curve.shares[i];
      table.rows.push_back(
          {{model_label(data, *model)},
           {share_text(share)},
           quantile_cell(std::nullopt, curve.kl[i], 1, ""),
           quantile_cell(std::nullopt, curve.at(curve.delta_p, share), 100, " %")});
    }
  }
  return table;
}

void add_curves(const ReportData& data, const EvaluatedOn& on, Scored scored, Section& section) {
  std::erase_if(scored, [](const auto& row) { return row.second->curve.kl.empty(); });
  if (scored.empty()) return;
  LineChart chart{.title = fmt::format("{}: KL to before, by how rare it is", on.text),
                  .x_label = "one token in so many has more (logarithmic)",
                  .y_label = "KL(before ‖ model), nats (logarithmic)",
                  .x_format = AxisFormat::kCount,
                  .log_x = true,
                  .log_y = true};
  double most = 1;
  RoleStyles styles;
  for (const auto& [model, score] : scored) {
    chart.series.push_back(curve_series(data, *model, score->curve));
    styles.apply(role_in(data, *model), chart.series.back());
    most = std::max(most, static_cast<double>(score->curve.tokens));
  }
  chart.x_ticks = {2};
  for (double tick = 10; tick <= most; tick *= 10) chart.x_ticks.push_back(tick);
  section.blocks.push_back(Figure{
      .chart = std::move(chart),
      .caption =
          "Quantiles of the KL: the median stands at one token in 2, 99 % at one in 100, "
          "the largest at one in all. A curve that rises late harms few tokens. A KL of 0 has no "
          "place on a logarithmic axis.",
      .numbers = curve_numbers(data, scored)});
}

}  // namespace

void sections::fidelity(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "fidelity", .title = "How far single tokens are from before", .blocks = {}};
  for (const EvaluatedOn& on : evaluations(data)) {
    const Scored scored = compared_on(data, on);
    if (scored.empty()) continue;
    section.blocks.push_back(divergence_table(data, on, scored));
    section.blocks.push_back(probability_table(data, on, scored));
    add_curves(data, on, scored, section);
  }
  if (section.blocks.empty()) return;
  section.blocks.push_back(
      Paragraph{"± is one standard error over the windows of the text; \"a to b\" below a quantile "
                "is its 95 % interval over "
                "blocks of windows, because tokens of one text are not independent. Quantiles are "
                "known to 0.8 % of "
                "themselves."});
  all.push_back(std::move(section));
}

}  // namespace regroup
