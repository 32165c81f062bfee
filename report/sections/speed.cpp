// How fast models decode at each batch and context, against what the machine can do.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "compose.h"
#include "regroup/base/human_number.h"
#include "report_document.h"
#include "report_numbers.h"
#include "sections/models.h"

namespace regroup {
namespace {

constexpr size_t kMostLines = 4;  // colours that all eyes tell apart

/// A model at one number of KV heads, measured at several points.
struct SpeedLine {
  std::string name;
  std::vector<const SpeedRun*> runs;
};

bool several_models(const SpeedReport& report) {
  return std::any_of(report.runs.begin(), report.runs.end(),
                     [&](const SpeedRun& run) { return run.model != report.runs.front().model; });
}

/// A rate with three digits, or all that stand before the point.
std::string rate_cell(double tokens_per_s) {
  return tokens_per_s < 100 ? fmt::format("{:.1f}", tokens_per_s)
                            : grouped_digits(std::llround(tokens_per_s));
}

std::string contestant_name(const ReportData& data, const SpeedReport& report,
                            const SpeedRun& run) {
  const std::string heads = heads_text(run.n_kv_heads);
  if (!several_models(report)) return heads;
  const std::string label = model_label(data, run.model);
  return label.ends_with(heads) ? label : label + ", " + heads;
}

std::vector<int64_t> batches_of(const SpeedReport& report) {
  std::vector<int64_t> batches;
  for (const SpeedRun& run : report.runs) {
    if (std::find(batches.begin(), batches.end(), run.batch) == batches.end()) {
      batches.push_back(run.batch);
    }
  }
  return batches;
}

std::vector<SpeedLine> lines_of(const ReportData& data, const SpeedReport& report, int64_t batch) {
  std::vector<SpeedLine> lines;
  for (const SpeedRun& run : report.runs) {
    if (run.batch != batch) continue;
    const std::string name = contestant_name(data, report, run);
    auto line = std::find_if(lines.begin(), lines.end(),
                             [&](const SpeedLine& found) { return found.name == name; });
    if (line == lines.end()) line = lines.insert(lines.end(), {name, {}});
    line->runs.push_back(&run);
  }
  for (SpeedLine& line : lines) {
    std::sort(line.runs.begin(), line.runs.end(),
              [](const SpeedRun* a, const SpeedRun* b) { return a->context < b->context; });
  }
  return lines;
}

ChartSeries speed_series(const SpeedLine& line, size_t index, bool roofline) {
  constexpr Marker kMarkers[] = {Marker::kCircle, Marker::kSquare, Marker::kDiamond,
                                 Marker::kTriangle};
  ChartSeries series{.name = line.name + (roofline ? ", roofline" : ""),
                     .colour = static_cast<int>(index) + 1,
                     .marker = roofline ? Marker::kNone : kMarkers[index],
                     .line = true,
                     .thin = roofline,
                     .dashed = roofline,
                     .points = {}};
  for (const SpeedRun* run : line.runs) {
    const double rate = roofline ? run->roofline_tokens_per_s : run->decode.median;
    series.points.push_back({static_cast<double>(run->context), rate,
                             fmt::format("{}: {} tokens/s at a context of {}", series.name,
                                         rate_cell(rate), grouped_digits(run->context))});
  }
  return series;
}

/// Speed by context, measured and by the roofline; nothing where there is one context alone.
void add_line_chart(const ReportData& data, const SpeedReport& report, int64_t batch,
                    Section& section) {
  std::vector<SpeedLine> lines = lines_of(data, report, batch);
  const bool has_contexts =
      std::ranges::any_of(lines, [](const SpeedLine& line) { return line.runs.size() > 1; });
  if (!has_contexts) return;
  const size_t all = lines.size();
  lines.resize(std::min(all, kMostLines));
  LineChart chart{.title = fmt::format("Decoding at a batch of {}", batch),
                  .x_label = "tokens of context",
                  .y_label = "tokens a second",
                  .x_format = AxisFormat::kCount,
                  .log_x = true};
  std::set<double> contexts;
  for (size_t i = 0; i < lines.size(); ++i) {
    for (const SpeedRun* run : lines[i].runs) contexts.insert(static_cast<double>(run->context));
    chart.series.push_back(speed_series(lines[i], i, /*roofline=*/false));
    chart.series.push_back(speed_series(lines[i], i, /*roofline=*/true));
  }
  chart.x_ticks.assign(contexts.begin(), contexts.end());
  section.blocks.push_back(Figure{
      .chart = std::move(chart),
      .caption = fmt::format(
          "Decoding at a batch of {}: tokens a second of the whole batch, medians of {} steps, "
          "and dashed what the roofline allows.{}",
          batch, report.new_tokens * report.repetitions,
          all > kMostLines ? fmt::format(" Of {} the first {}; the table has all.", all, kMostLines)
                           : ""),
      .numbers = {},
      .repeats_table = true});
}

Table speed_table(const ReportData& data, const SpeedReport& report) {
  const bool several = several_models(report);
  const bool compared = std::any_of(report.runs.begin(), report.runs.end(),
                                    [](const SpeedRun& run) { return run.speed_up.has_value(); });
  Table table{.caption = fmt::format("Tokens a second of the whole batch: medians of {} steps, "
                                     "with the slowest and the fastest tenth below",
                                     report.new_tokens * report.repetitions),
              .columns = {{"KV heads", ColumnKind::kNumber},
                          {"Batch", ColumnKind::kNumber},
                          {"Context", ColumnKind::kNumber},
                          {"Prefill", ColumnKind::kNumber},
                          {"Decode", ColumnKind::kNumber},
                          {"KV cache", ColumnKind::kNumber},
                          {"Of the bandwidth", ColumnKind::kNumber}},
              .rows = {}};
  if (several) table.columns.insert(table.columns.begin(), {"Model"});
  if (compared) table.columns.push_back({"Faster", ColumnKind::kNumber});
  for (const SpeedRun& run : report.runs) {
    std::vector<Cell> row = {
        {std::to_string(run.n_kv_heads)},
        {grouped_digits(run.batch)},
        {grouped_digits(run.context)},
        {run.prefill_tokens_per_s ? rate_cell(*run.prefill_tokens_per_s) : kNothing},
        {rate_cell(run.decode.median),
         rate_cell(run.decode.p10) + " to " + rate_cell(run.decode.p90)},
        {human_bytes(run.kv_bytes_measured)},
        {fmt::format("{:.0f} %", 100 * run.bandwidth_fraction),
         run.memory_bound ? "memory-bound" : "compute-bound"}};
    if (several) row.insert(row.begin(), {model_label(data, run.model)});
    if (compared) {
      row.push_back(run.speed_up
                        ? Cell{fmt::format("{:.2f} x", run.speed_up->measured),
                               fmt::format("{:.2f} x by the roofline", run.speed_up->predicted)}
                        : Cell{kNothing});
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

void add_speed(const ReportData& data, const SpeedReport& report, Section& section) {
  if (report.runs.empty()) return;
  std::string machine = report.device;
  if (!report.processor.empty()) machine = report.processor + "; " + machine;
  section.blocks.push_back(Paragraph{fmt::format(
      "Measured on {}, computed and cached in {}. The machine copies {:.3g} GB/s, reads {:.3g} "
      "GB/s "
      "and multiplies {:.3g} GFLOP/s, measured before; the roofline is what these allow.",
      shorten_name(machine), shorten_name(report.dtype), report.copy_bytes_per_s / 1e9,
      report.read_bytes_per_s / 1e9, report.flops_per_s / 1e9)});
  for (const int64_t batch : batches_of(report)) add_line_chart(data, report, batch, section);
  section.blocks.push_back(speed_table(data, report));
  const bool cached = std::ranges::any_of(
      report.runs, [](const SpeedRun& run) { return run.bandwidth_fraction > 1; });
  if (!cached) return;
  section.blocks.push_back(
      Paragraph{"Above 100 % of the bandwidth, and above the roofline, the weights are read from "
                "the processor's caches, which are faster than the memory that was measured."});
}

}  // namespace

void sections::speed(const ReportData& data, std::vector<Section>& all) {
  Section section{.id = "speed", .title = "Speed", .blocks = {}};
  for (const SpeedReport& report : data.speeds) add_speed(data, report, section);
  if (!section.blocks.empty()) all.push_back(std::move(section));
}

}  // namespace regroup
