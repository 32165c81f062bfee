#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "charts/svg_chart.h"
#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kNarrowRows = 500;  // below this width a label stands above its marks
constexpr size_t kRowLabel = 40;     // characters
constexpr size_t kTallRows = 12;     // from here on the axis is written above too
constexpr double kSeriesStep =
    7;  // between the marks of a row, so that whiskers do not hide each other

struct IntervalLayout {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool log = false;
  double left = 0;
  double right = 1;
  double top = 0;  ///< of the first row
  double row = 30;
  bool labels_above = false;

  bool can_show(double value) const { return std::isfinite(value) && (!log || value > 0); }
  void take_in(double value) {
    if (!can_show(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  double at(double value) const {
    const double share =
        log ? std::log(value / low) / std::log(high / low) : (value - low) / (high - low);
    return left + share * (right - left);
  }
  double bottom(size_t rows) const { return top + row * static_cast<double>(rows); }
  double middle(size_t index) const {
    return top + row * (static_cast<double>(index) + 0.5) + (labels_above ? 8 : 0);
  }
};

/// Room around the numbers; something to divide by where there is one number, or none.
void widen_range(IntervalLayout& layout) {
  if (!(layout.low <= layout.high)) {
    layout.low = layout.log ? 1 : 0;
    layout.high = layout.log ? 10 : 1;
  }
  if (layout.log) {
    const double factor = layout.low == layout.high ? 2 : std::pow(layout.high / layout.low, 0.04);
    layout.low /= factor;
    layout.high *= factor;
    return;
  }
  const double same = layout.low == 0 ? 1 : std::abs(layout.low) * 0.1;
  const double room = layout.low == layout.high ? same : (layout.high - layout.low) * 0.04;
  layout.low -= room;
  layout.high += room;
}

IntervalLayout lay_out_intervals(const IntervalChart& chart, double width, double legend) {
  IntervalLayout layout;
  layout.log = chart.log_x;
  layout.labels_above = width < kNarrowRows;
  double label = 0;
  for (const IntervalRow& row : chart.rows) {
    label = std::max(label, text_width(shorten(row.label, kRowLabel)));
    for (const IntervalMark& mark : row.marks) {
      for (const double number : {mark.value, mark.low, mark.high}) layout.take_in(number);
    }
  }
  for (const IntervalLine& line : chart.lines) layout.take_in(line.x);
  widen_range(layout);
  layout.left = layout.labels_above ? 8 : label + 14;
  layout.right = width - 14;
  const double marks =
      12 + kSeriesStep * static_cast<double>(std::max<size_t>(2, chart.series.size()));
  layout.row = layout.labels_above ? marks + 18 : marks;
  layout.top = legend + 16 * static_cast<double>(chart.lines.size()) +
               (chart.rows.size() > kTallRows ? 24 : 8);
  return layout;
}

std::string draw_interval_axis(const IntervalChart& chart, const IntervalLayout& layout) {
  const double bottom = layout.bottom(chart.rows.size());
  const int most = layout.labels_above ? 6 : 8;  // whatever the labels leave of the width
  std::string svg;
  double free_from = 0;
  for (const double tick : layout.log ? log_ticks(layout.low, layout.high, most)
                                      : linear_ticks(layout.low, layout.high, most)) {
    if (!layout.can_show(tick)) continue;
    const double x = layout.at(tick);
    const std::string text = tick_text(tick, AxisFormat::kNumber);
    svg += svg_line("grid", x, layout.top, x, bottom);
    const double half = text_width(text) / 2;
    if (x - half < free_from) continue;  // would run into its neighbour
    svg += svg_text("tick", x, bottom + 17, "middle", text);
    if (chart.rows.size() > kTallRows) svg += svg_text("tick", x, layout.top - 6, "middle", text);
    free_from = x + half + 4;
  }
  svg += svg_line("axis", layout.left, bottom, layout.right, bottom);
  svg += svg_text("name", (layout.left + layout.right) / 2, bottom + 36, "middle", chart.x_label);
  return svg + "\n";
}

/// Each label in a line of its own, so that near ones keep apart.
std::string draw_interval_lines(const IntervalChart& chart, const IntervalLayout& layout,
                                double legend) {
  std::string svg;
  double y = legend + 12;
  for (const IntervalLine& line : chart.lines) {
    if (!layout.can_show(line.x)) continue;
    const double x = layout.at(line.x);
    const double half = text_width(line.label) / 2;
    const double centre = std::clamp(x, std::min(half, layout.right - half), layout.right - half);
    svg += svg_line("limit", x, layout.top - 2, x, layout.bottom(chart.rows.size()));
    svg += svg_text("label", centre, y, "middle", line.label) + "\n";
    y += 16;
  }
  return svg;
}

std::string draw_interval_row(const IntervalChart& chart, const IntervalRow& row,
                              const IntervalLayout& layout, double middle) {
  std::string svg =
      layout.labels_above
          ? svg_text("name", layout.left, middle - layout.row / 2 + 6, "start",
                     shorten(row.label,
                             static_cast<size_t>((layout.right - layout.left) / kCharacterWidth)))
          : svg_text("name", layout.left - 10, middle + 4, "end", shorten(row.label, kRowLabel));
  std::string path;
  std::string marks;
  for (const IntervalMark& mark : row.marks) {
    if (!layout.can_show(mark.value) || mark.series >= chart.series.size()) continue;
    const IntervalSeries& series = chart.series[mark.series];
    const double place =
        static_cast<double>(mark.series) - (static_cast<double>(chart.series.size()) - 1) / 2;
    const double y = middle + kSeriesStep * place;
    const double x = layout.at(mark.value);
    path += fmt::format("{}{} {}", path.empty() ? "M" : "L", svg_number(x), svg_number(y));
    marks += fmt::format("<g class=\"c{}\">", series.colour);
    if (layout.can_show(mark.low) && layout.can_show(mark.high)) {
      marks += svg_line("line thin", layout.at(mark.low), y, layout.at(mark.high), y);
    }
    marks +=
        svg_marker(series.marker, x, y, mark.title.empty() ? series.name : mark.title) + "</g>";
  }
  if (chart.joined && path.find('L') != std::string::npos) {
    svg += fmt::format("<g class=\"c5\"><path class=\"line thin\" d=\"{}\"/></g>", path);
  }
  return svg + marks + "\n";
}

}  // namespace

std::string interval_chart_svg(const IntervalChart& chart, double width) {
  std::vector<LegendEntry> entries;
  for (const IntervalSeries& series : chart.series) {
    entries.push_back({series.name, series.colour, series.marker});
  }
  const Legend legend = draw_legend(entries, width);
  const IntervalLayout layout = lay_out_intervals(chart, width, legend.height);
  std::string svg =
      svg_open(chart.title, width, layout.bottom(chart.rows.size()) + 44) + legend.svg;
  svg += draw_interval_axis(chart, layout);
  svg += draw_interval_lines(chart, layout, legend.height);
  for (size_t r = 0; r < chart.rows.size(); ++r) {
    svg += draw_interval_row(chart, chart.rows[r], layout, layout.middle(r));
  }
  return svg + "</svg>\n";
}

}  // namespace regroup
