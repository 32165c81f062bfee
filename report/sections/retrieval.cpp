// What models recall of their context: heat maps by length and depth, and whether recall fell more than the loss says.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "report_document.h"

namespace regroup {
namespace {

/// "512, 25 %", "64 pairs": where a cell stands.
std::string cell_title(const ReportProbe& probe, const ReportProbeCell& cell) {
  if (cell.depth) return fmt::format("{}, {:.0f} %", cell.length, 100 * *cell.depth);
  if (cell.count) return fmt::format("{} {}", *cell.count, probe.axis);
  return fmt::format("{}", cell.length);
}

std::vector<const ReportProbe*> of_name(const ReportData& data, const std::string& name) {
  std::vector<const ReportProbe*> probes;
  for (const ReportProbe& probe : data.probes) {
    if (probe.name == name && !probe.cells.empty()) probes.push_back(&probe);
  }
  return probes;
}

const ReportProbe* find_baseline_of(const std::vector<const ReportProbe*>& probes) {
  const auto found = std::find_if(probes.begin(), probes.end(), [](const ReportProbe* probe) {
    return parse_role(probe->role) == ModelRole::kBaseline;
  });
  return found == probes.end() ? nullptr : *found;
}

const ReportProbeCell* same_cell(const ReportProbe& probe, const ReportProbeCell& wanted) {
  const auto found =
      std::find_if(probe.cells.begin(), probe.cells.end(), [&](const ReportProbeCell& cell) {
        return cell.length == wanted.length && cell.depth == wanted.depth &&
               cell.count == wanted.count;
      });
  return found == probe.cells.end() ? nullptr : &*found;
}

std::string label_of(const ReportProbe& probe) {
  const std::string label = role_label(parse_role(probe.role));
  return label.empty() ? shorten_name(probe.model)
                       : fmt::format("{} ({})", shorten_name(probe.model), label);
}

/// Rows are models, columns lengths and depths; behind them what each lost against the baseline.
Figure recall_map(const std::vector<const ReportProbe*>& probes) {
  const ReportProbe& first = *probes.front();
  const ReportProbe* baseline = find_baseline_of(probes);
  HeatMap map{.title = "Recall: " + first.name,
              .x_label = first.cells.front().depth ? "length in tokens, depth" : "length",
              .columns = {},
              .rows = {}};
  Table numbers{
      .caption = fmt::format("{}: share of whole answers that are the likeliest, in %", first.name),
      .columns = {{"Model"}},
      .rows = {}};
  for (const ReportProbeCell& cell : first.cells) {
    map.columns.push_back(cell_title(first, cell));
    numbers.columns.push_back({cell_title(first, cell), ColumnKind::kNumber});
  }
  const auto add = [&](const ReportProbe& probe, const ReportProbe* less) {
    HeatRow row{.label = (less != nullptr ? "lost: " : "") + label_of(probe), .cells = {}};
    std::vector<Cell> cells = {{row.label}};
    for (const ReportProbeCell& column : first.cells) {
      const ReportProbeCell* own = same_cell(probe, column);
      const ReportProbeCell* before = less != nullptr ? same_cell(*less, column) : nullptr;
      const bool known = own != nullptr && (less == nullptr || before != nullptr);
      const double value =
          !known ? NAN
                 : 100 * (less != nullptr ? before->accuracy.value - own->accuracy.value
                                          : own->accuracy.value);
      const std::string text = known ? fmt::format("{:.0f}", value) : kNothing;
      row.cells.push_back(
          {.value = known ? std::max(0.0, value) : NAN,
           .text = text,
           .title = fmt::format("{}, {}: {} %", row.label, cell_title(first, column), text)});
      cells.push_back({text});
    }
    map.rows.push_back(std::move(row));
    numbers.rows.push_back(std::move(cells));
  };
  for (const ReportProbe* probe : probes) add(*probe, nullptr);
  for (const ReportProbe* probe : probes) {
    if (baseline != nullptr && probe != baseline) add(*probe, baseline);
  }
  return {
      .chart = std::move(map),
      .caption = fmt::format("{}: whole answers that are the likeliest, in %, of {} trials each",
                             first.name, first.cells.front().trials),
      .numbers = std::move(numbers)};
}

/// How much more loss a model has on texts than its baseline; nothing where no text was measured.
std::optional<double> loss_rise(const ReportData& data, const std::string& model) {
  for (const ReportModel& known : data.models) {
    if (known.name != model) continue;
    for (const ReportScore& score : known.scores) {
      for (size_t m = 0; m < kMetricCount; ++m) {
        if (std::string_view(kMetricNames[m]) == "loss_delta" && score.metrics[m]) {
          return score.metrics[m]->value;
        }
      }
    }
  }
  return std::nullopt;
}

std::string verdict(const ReportProbe& probe, const std::optional<double>& loss) {
  if (probe.baseline_can == false) {
    return probe.log_prob_delta ? "the baseline cannot do this" : "cannot do this";
  }
  if (!probe.log_prob_delta) return kNothing;
  if (probe.low <= 0 && probe.high >= 0) return "no difference seen";
  if (probe.low > 0) return "better";
  if (!loss) return "worse";
  return -probe.high > std::max(0.0, *loss) ? "fell more than the loss says" : "fell with the loss";
}

std::optional<Table> change_table(const ReportData& data) {
  Table table{.caption =
                  "Log-probability of answers against the baseline, nats a token, with 95 % "
                  "intervals of the paired bootstrap over trials",
              .columns = {{"Probe"},
                          {"Model"},
                          {"Difference", ColumnKind::kNumber},
                          {"95 %", ColumnKind::kNumber},
                          {"Loss of texts", ColumnKind::kNumber},
                          {"Verdict"}},
              .rows = {}};
  for (const ReportProbe& probe : data.probes) {
    const std::optional<double> loss = loss_rise(data, probe.model);
    const bool is_baseline = parse_role(probe.role) == ModelRole::kBaseline;
    if (!probe.log_prob_delta && (is_baseline || probe.baseline_can != false)) continue;
    const bool known = probe.log_prob_delta.has_value();
    table.rows.push_back(
        {{probe.name},
         {label_of(probe)},
         {measured_text(probe.log_prob_delta)},
         {known ? fmt::format("{:.3f} to {:.3f}", probe.low, probe.high) : std::string(kNothing)},
         {loss ? fmt::format("{:+.3f}", *loss) : std::string(kNothing)},
         {verdict(probe, loss)}});
  }
  return table.rows.empty() ? std::nullopt : std::optional(std::move(table));
}

}  // namespace

void sections::retrieval(const ReportData& data, std::vector<Section>& all) {
  if (data.probes.empty()) return;
  Section section{.id = "retrieval", .title = "Recall of the context", .blocks = {}};
  if (auto table = change_table(data)) section.blocks.push_back(std::move(*table));
  std::vector<std::string> names;
  for (const ReportProbe& probe : data.probes) {
    if (probe.cells.empty()) continue;
    if (std::find(names.begin(), names.end(), probe.name) == names.end()) {
      names.push_back(probe.name);
    }
  }
  for (const std::string& name : names) {
    section.blocks.push_back(recall_map(of_name(data, name)));
  }
  all.push_back(std::move(section));
}

}  // namespace regroup
