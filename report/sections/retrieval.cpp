// What models recall of their context: heat maps by length and depth, and whether recall fell more than the loss says.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "compose.h"
#include "recall.h"
#include "report_document.h"
#include "report_numbers.h"
#include "sections/models.h"

namespace regroup {
namespace {

/// "512, 25 %", "64 pairs": where a cell stands.
std::string cell_title(const ReportProbe& probe, const ProbeCellResult& cell) {
  if (cell.depth) return fmt::format("{}, {:.0f} %", cell.length, 100 * *cell.depth);
  if (cell.count) return fmt::format("{} {}", *cell.count, probe.axis);
  return fmt::format("{}", cell.length);
}

std::vector<std::string> names_of(const ReportData& data) {
  std::vector<std::string> names;
  for (const ReportProbe& probe : data.probes) {
    if (std::find(names.begin(), names.end(), probe.name) == names.end()) {
      names.push_back(probe.name);
    }
  }
  return names;
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

const ProbeCellResult* same_cell(const ReportProbe& probe, const ProbeCellResult& wanted) {
  const auto found =
      std::find_if(probe.cells.begin(), probe.cells.end(), [&](const ProbeCellResult& cell) {
        return cell.length == wanted.length && cell.depth == wanted.depth &&
               cell.count == wanted.count;
      });
  return found == probe.cells.end() ? nullptr : &*found;
}

/// A folder that no text was measured with keeps its part.
std::string label_of(const ReportData& data, const ReportProbe& probe) {
  for (const ReportModel& model : data.models) {
    if (model.name == probe.model) return model_label(data, model);
  }
  const std::string part = role_label(parse_role(probe.role));
  return fmt::format("{} ({})", shorten_name(probe.model), part);
}

/// Nothing is lost where the baseline finds nothing.
bool is_beyond_baseline(const std::vector<const ReportProbe*>& probes) {
  return std::any_of(probes.begin(), probes.end(),
                     [](const ReportProbe* probe) { return probe->baseline_can == false; });
}

/// A map of one model, or of what it lost against another.
struct Shown {
  const ReportProbe* probe = nullptr;
  const ReportProbe* less = nullptr;
  std::string label;

  int colour() const { return less != nullptr ? 2 : 1; }
};

/// Every model, then every model's loss against the baseline.
std::vector<Shown> shown_of(const ReportData& data, const std::vector<const ReportProbe*>& probes) {
  std::vector<Shown> shown;
  for (const ReportProbe* probe : probes) shown.push_back({probe, nullptr, label_of(data, *probe)});
  const ReportProbe* baseline = find_baseline_of(probes);
  if (baseline == nullptr || is_beyond_baseline(probes)) return shown;
  for (const ReportProbe* probe : probes) {
    if (probe != baseline) shown.push_back({probe, baseline, "lost: " + label_of(data, *probe)});
  }
  return shown;
}

/// The share of whole answers in %, or how many points of it were lost.
HeatCell heat_cell(const Shown& shown, const ProbeCellResult& wanted) {
  const ProbeCellResult* own = same_cell(*shown.probe, wanted);
  const ProbeCellResult* before = shown.less != nullptr ? same_cell(*shown.less, wanted) : nullptr;
  const std::string place = fmt::format("{}, {}", shown.label, cell_title(*shown.probe, wanted));
  if (own == nullptr || (shown.less != nullptr && before == nullptr)) {
    return {.value = NAN, .text = kNothing, .title = place + ": not measured"};
  }
  const double value = 100 * (before != nullptr ? before->accuracy.value - own->accuracy.value
                                                : own->accuracy.value);
  const std::string text = fmt::format("{:.0f}", value + 0.0);
  return {.value = value,
          .text = text,
          .title = fmt::format("{}: {} {}", place, text, before != nullptr ? "points" : "%")};
}

std::string caption_of(const std::vector<const ReportProbe*>& probes, bool has_losses) {
  const ReportProbe& first = *probes.front();
  std::string text =
      fmt::format("{}: whole answers that are the likeliest, in %, of {} trials each", first.name,
                  first.cells.front().trials);
  if (has_losses) {
    text += "; lost: points of them against the model before, in green where they were gained";
  }
  if (!first.haystack.empty()) text += ". Hidden in: " + shorten_name(first.haystack);
  return text;
}

/// Rows are models, columns what the probe counts, or lengths.
Figure one_map(const ReportData& data, const std::vector<const ReportProbe*>& probes) {
  const std::vector<Shown> all = shown_of(data, probes);
  const ReportProbe& first = *probes.front();
  HeatMap map{.title = "Recall: " + first.name,
              .x_label = first.cells.front().count ? first.axis : "length in tokens",
              .columns = {},
              .rows = {},
              .full = 100};
  Table numbers{
      .caption = fmt::format("{}: share of whole answers that are the likeliest, in %", first.name),
      .columns = {{"Model"}},
      .rows = {}};
  for (const ProbeCellResult& cell : first.cells) {
    map.columns.push_back(std::to_string(cell.count.value_or(cell.length)));
    numbers.columns.push_back({cell_title(first, cell), ColumnKind::kNumber});
  }
  for (const Shown& shown : all) {
    HeatRow row{.label = shown.label, .cells = {}, .colour = shown.colour()};
    std::vector<Cell> cells = {{row.label}};
    for (const ProbeCellResult& column : first.cells) {
      row.cells.push_back(heat_cell(shown, column));
      cells.push_back({row.cells.back().text});
    }
    map.rows.push_back(std::move(row));
    numbers.rows.push_back(std::move(cells));
  }
  return {.chart = std::move(map),
          .caption = caption_of(probes, all.size() > probes.size()),
          .numbers = std::move(numbers)};
}

/// What `values` has, each once, in order.
template <typename Value>
std::vector<Value> distinct(std::vector<Value> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

/// A map for every model: columns are lengths, rows depths.
Figure maps_by_depth(const ReportData& data, const std::vector<const ReportProbe*>& probes) {
  const std::vector<Shown> all = shown_of(data, probes);
  const ReportProbe& first = *probes.front();
  std::vector<int64_t> lengths;
  std::vector<double> depths;
  for (const ReportProbe* probe : probes) {
    for (const ProbeCellResult& cell : probe->cells) {
      lengths.push_back(cell.length);
      depths.push_back(cell.depth.value_or(0));
    }
  }
  lengths = distinct(std::move(lengths));
  HeatPanels chart{.title = "Recall: " + first.name,
                   .axes = first.name + ": below, length in tokens; left, depth (0 %: start)",
                   .columns = {},
                   .panels = {}};
  Table numbers{
      .caption = fmt::format("{}: share of whole answers that are the likeliest, in %", first.name),
      .columns = {{"Model"}, {"Depth", ColumnKind::kNumber}},
      .rows = {}};
  for (const int64_t length : lengths) {
    chart.columns.push_back(std::to_string(length));
    numbers.columns.push_back({fmt::format("{} tokens", length), ColumnKind::kNumber});
  }
  for (const Shown& shown : all) {
    const bool begins_losses =
        shown.less != nullptr && !chart.panels.empty() && chart.panels.back().colour == 1;
    HeatPanel panel{
        .label = shown.label, .colour = shown.colour(), .rows = {}, .starts_row = begins_losses};
    for (const double depth : distinct(depths)) {
      HeatRow row{.label = fmt::format("{:.0f} %", 100 * depth), .cells = {}};
      std::vector<Cell> cells = {{panel.label}, {row.label}};
      for (const int64_t length : lengths) {
        ProbeCellResult wanted;
        wanted.length = length;
        wanted.depth = depth;
        row.cells.push_back(heat_cell(shown, wanted));
        cells.push_back({row.cells.back().text});
      }
      panel.rows.push_back(std::move(row));
      numbers.rows.push_back(std::move(cells));
    }
    chart.panels.push_back(std::move(panel));
  }
  return {.chart = std::move(chart),
          .caption = caption_of(probes, all.size() > probes.size()),
          .numbers = std::move(numbers)};
}

std::string verdict_text(const ReportProbe& probe, RecallChange change) {
  switch (change) {
    case RecallChange::kBeyondBaseline:
      return probe.log_prob_delta ? "the baseline cannot do this" : "cannot do this";
    case RecallChange::kNone:
      return "no difference seen";
    case RecallChange::kBetter:
      return "better";
    case RecallChange::kWorse:
      return "worse";
    case RecallChange::kWithLoss:
      return "fell with the loss";
    case RecallChange::kMoreThanLoss:
      return "fell more than the loss says";
    case RecallChange::kUnknown:
      break;
  }
  return kNothing;
}

std::vector<Cell> change_row(const ReportData& data, const ReportProbe& probe) {
  const std::optional<double> loss = loss_rise(data, probe.model);
  const bool known = probe.log_prob_delta.has_value();
  return {{probe.name},
          {label_of(data, probe)},
          {measured_text(probe.log_prob_delta)},
          {known ? fmt::format("{:.3f} to {:.3f}", probe.low, probe.high) : std::string(kNothing)},
          {loss ? fmt::format("{:+.3f}", *loss) : std::string(kNothing)},
          {verdict_text(probe, recall_change(probe, loss))}};
}

/// The rows of one probe stand together; one row stands for all where the baseline cannot do it.
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
  for (const std::string& name : names_of(data)) {
    std::vector<const ReportProbe*> compared;
    for (const ReportProbe& probe : data.probes) {
      const bool is_baseline = parse_role(probe.role) == ModelRole::kBaseline;
      const bool known = probe.log_prob_delta || (!is_baseline && probe.baseline_can == false);
      if (probe.name == name && known) compared.push_back(&probe);
    }
    if (compared.size() > 1 && is_beyond_baseline(compared)) {
      table.rows.push_back({{name},
                            {fmt::format("all {}", compared.size())},
                            {kNothing},
                            {kNothing},
                            {kNothing},
                            {verdict_text(*compared.front(), RecallChange::kBeyondBaseline)}});
      continue;
    }
    for (const ReportProbe* probe : compared) table.rows.push_back(change_row(data, *probe));
  }
  return table.rows.empty() ? std::nullopt : std::optional(std::move(table));
}

}  // namespace

void sections::retrieval(const ReportData& data, std::vector<Section>& all) {
  if (data.probes.empty()) return;
  Section section{.id = "retrieval", .title = "Recall of the context", .blocks = {}};
  if (auto table = change_table(data)) section.blocks.push_back(std::move(*table));
  for (const std::string& name : names_of(data)) {
    const std::vector<const ReportProbe*> probes = of_name(data, name);
    if (probes.empty()) continue;
    section.blocks.push_back(probes.front()->cells.front().depth ? maps_by_depth(data, probes)
                                                                 : one_map(data, probes));
  }
  all.push_back(std::move(section));
}

}  // namespace regroup
