// The section on what conversion alone costs, by method and number of KV heads.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "compose.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "sections/positions.h"

namespace regroup {
namespace {

std::string entry_label(const DamageEntry& entry) {
  return fmt::format("{}, {}", entry.method, heads_text(entry.n_kv_heads));
}

std::vector<std::string> methods_of(const DamageReport& report) {
  std::vector<std::string> methods;
  for (const DamageEntry& entry : report.entries) {
    if (std::find(methods.begin(), methods.end(), entry.method) == methods.end()) {
      methods.push_back(entry.method);
    }
  }
  return methods;
}

std::string conditions(const DamageReport& report) {
  std::string text = fmt::format("{} tokens of {}, windows of {}", grouped_digits(report.tokens),
                                 shorten_name(report.text), grouped_digits(report.seq_len));
  if (report.source == "statistics") return text + "; decided from saved statistics";
  if (report.source != "text") return text + "; decided without text";
  return text + fmt::format("; calibrated on {} tokens", grouped_digits(report.calibration_tokens));
}

Table damage_table(const DamageReport& report) {
  Table table{.caption = fmt::format("Before any uptraining: {}", conditions(report)),
              .columns = {{"Method"},
                          {"Grouping"},
                          {"KV heads", ColumnKind::kNumber},
                          {"KV cache a token", ColumnKind::kNumber},
                          {"Loss", ColumnKind::kNumber},
                          {"Loss − before", ColumnKind::kNumber},
                          {"KL to before", ColumnKind::kNumber},
                          {"Same top token", ColumnKind::kNumber}},
              .rows = {}};
  table.rows.push_back({{.text = "before", .role = ModelRole::kBaseline},
                        {kNothing},
                        {std::to_string(report.n_kv_heads)},
                        {human_bytes(report.kv_bytes_per_token)},
                        measured_cell(report.loss, 1, ""),
                        {kNothing},
                        {kNothing},
                        {kNothing}});
  for (const DamageEntry& entry : report.entries) {
    table.rows.push_back({{.text = entry.method, .role = ModelRole::kConverted},
                          {entry.grouping.empty() ? kNothing : entry.grouping},
                          {std::to_string(entry.n_kv_heads)},
                          {human_bytes(entry.kv_bytes_per_token)},
                          measured_cell(entry.loss, 1, ""),
                          measured_cell(entry.loss_delta, 1, ""),
                          measured_cell(entry.kl, 1, ""),
                          measured_cell(entry.agreement, 100, " %")});
  }
  return table;
}

/// One line a method: what it costs at every size of the cache.
Figure damage_figure(const DamageReport& report) {
  LineChart chart{.title = "Damage by method and KV cache",
                  .x_label = "KV cache a token (logarithmic)",
                  .y_label = "KL to before (nats a token, logarithmic)",
                  .x_format = AxisFormat::kBytes,
                  .log_x = true,
                  .log_y = true};
  const Marker markers[] = {Marker::kCircle, Marker::kTriangle, Marker::kSquare, Marker::kDiamond};
  const std::vector<std::string> methods = methods_of(report);
  for (size_t m = 0; m < methods.size(); ++m) {
    ChartSeries series{.name = methods[m],
                       .colour = static_cast<int>(m % 5) + 1,
                       .marker = markers[(m + m / 5) % 4],
                       .dashed = m >= 5};
    for (const DamageEntry& entry : report.entries) {
      if (entry.method != methods[m]) continue;
      series.points.push_back(
          {static_cast<double>(entry.kv_bytes_per_token), entry.kl.value,
           fmt::format("{}: KL {}", entry_label(entry), short_number(entry.kl.value))});
      if (std::find(chart.x_ticks.begin(), chart.x_ticks.end(), series.points.back().x) ==
          chart.x_ticks.end()) {
        chart.x_ticks.push_back(series.points.back().x);
      }
    }
    chart.series.push_back(std::move(series));
  }
  std::sort(chart.x_ticks.begin(), chart.x_ticks.end());
  return {.chart = std::move(chart),
          .caption = "What conversion alone costs: lower is better, further left is smaller.",
          .numbers = {},
          .repeats_table = true};
}

using LayerValue = std::optional<double> (*)(const DamageLayer&);

/// Rows are conversions, columns layers. Nothing when no layer has the value.
std::optional<Figure> layer_map(const DamageReport& report, const std::string& title,
                                const std::string& caption, LayerValue value) {
  HeatMap map{.title = title, .x_label = "layer", .columns = {}, .rows = {}};
  Table numbers{.caption = title, .columns = {{"Conversion"}}, .rows = {}};
  for (const DamageEntry& entry : report.entries) {
    HeatRow row{.label = fmt::format("{} {}", entry.method, entry.n_kv_heads), .cells = {}};
    std::vector<Cell> cells = {{entry_label(entry)}};
    bool known = false;
    for (size_t l = 0; l < entry.layers.size(); ++l) {
      const std::optional<double> x = value(entry.layers[l]);
      known = known || x.has_value();
      const std::string text = x ? fmt::format("{:.3f}", *x) : "";
      row.cells.push_back({.value = x.value_or(NAN),
                           .text = text,
                           .title = fmt::format("{}, layer {}: {}", entry_label(entry), l, text)});
      cells.push_back({x ? short_number(*x) : kNothing});
      if (map.columns.size() > l) continue;
      map.columns.push_back(std::to_string(l));
      numbers.columns.push_back({fmt::format("Layer {}", l), ColumnKind::kNumber});
    }
    if (!known) continue;
    map.rows.push_back(std::move(row));
    numbers.rows.push_back(std::move(cells));
  }
  if (map.rows.empty()) return std::nullopt;
  for (auto& row : numbers.rows) row.resize(numbers.columns.size(), {kNothing});
  return Figure{.chart = std::move(map), .caption = caption, .numbers = std::move(numbers)};
}

void add_layer_maps(const DamageReport& report, Section& section) {
  const auto add = [&](std::optional<Figure> figure) {
    if (figure) section.blocks.push_back(std::move(*figure));
  };
  add(layer_map(report, "Keys lost by layer",
                "Predicted share of the keys' energy that merging loses, by layer.",
                [](const DamageLayer& l) { return l.key_residual; }));
  add(layer_map(report, "Values lost by layer",
                "Predicted share of the values' energy that merging loses, by layer.",
                [](const DamageLayer& l) { return l.value_residual; }));
  add(layer_map(
      report, "Damage of each layer alone",
      fmt::format("KL to before in nats a token with one layer converted and the others as they "
                  "were, on {} tokens.",
                  grouped_digits(report.layer_tokens)),
      [](const DamageLayer& l) { return l.kl ? std::optional(l.kl->value) : std::nullopt; }));
}

/// Of the best conversion at each number of KV heads.
void add_entry_positions(const DamageReport& report, Section& section) {
  std::vector<ProfileRow> rows;
  for (const DamageEntry* entry : best_entries(report)) {
    if (entry->n_kv_heads == report.n_kv_heads) continue;
    rows.push_back({{.text = entry_label(*entry), .role = ModelRole::kConverted},
                    entry_label(*entry),
                    &entry->profile});
  }
  add_positions(
      fmt::format("{} in windows of {}", shorten_name(report.text), grouped_digits(report.seq_len)),
      rows, section);
}

}  // namespace

std::string damage_summary(const DamageReport& report) {
  std::string text = "Least damage: ";
  bool first = true;
  for (const DamageEntry* entry : best_entries(report)) {
    if (entry->n_kv_heads == report.n_kv_heads) continue;
    text +=
        fmt::format("{}{} with {}, loss {} higher", first ? "" : "; ",
                    heads_text(entry->n_kv_heads), entry->method, measured_text(entry->loss_delta));
    first = false;
  }
  return first ? "Nothing was merged." : text + ".";
}

void sections::damage(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "damage", .title = "What conversion alone costs", .blocks = {}};
  for (const DamageReport& report : data.damages) {
    if (report.entries.empty()) continue;
    // Without models the first one is the verdict already.
    const bool said = data.models.empty() && &report == &data.damages.front();
    if (!said) section.blocks.push_back(Paragraph{damage_summary(report)});
    section.blocks.push_back(damage_table(report));
    section.blocks.push_back(damage_figure(report));
    add_entry_positions(report, section);
    add_layer_maps(report, section);
  }
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
