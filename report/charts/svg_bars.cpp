#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "charts/svg_chart.h"
#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kRow = 30;
constexpr double kBarHeight = 18;

double length(const Bar& bar) {
  double sum = 0;
  for (const BarPart& part : bar.parts) sum += std::isfinite(part.value) ? part.value : 0;
  return sum;
}

struct Layout {
  double left = 0;   ///< where the bars begin
  double right = 0;  ///< where the longest ends
  double max = 1;    ///< its value
  double at(double value) const { return left + value / max * (right - left); }
};

Layout lay_out(const BarChart& chart, double width) {
  Layout layout;
  double label = 0;
  double value = 0;
  layout.max = std::max(chart.limit, 0.0);
  for (const Bar& bar : chart.bars) {
    label = std::max(label, text_width(shorten(bar.label, 24)));
    value = std::max(value, text_width(shorten(bar.value, 24)));
    layout.max = std::max(layout.max, length(bar));
  }
  if (!(layout.max > 0)) layout.max = 1;
  layout.left = label + 12;
  layout.right = std::max(layout.left + 40, width - value - 12);
  return layout;
}

std::string draw_bar(const Bar& bar, const Layout& layout, double y) {
  std::string svg;
  double from = 0;
  for (const BarPart& part : bar.parts) {
    if (!std::isfinite(part.value)) continue;
    const double x = layout.at(from);
    from += part.value;
    svg += fmt::format(
        "<g class=\"c{}\"><rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\"/></g>",
        part.colour, svg_number(x), svg_number(y), svg_number(layout.at(from) - x), kBarHeight);
  }
  return svg + "\n";
}

/// What is written before and behind a bar.
std::string draw_bar_texts(const Bar& bar, const Layout& layout, double y) {
  return svg_text("tick", layout.left - 8, y + 13, "end", shorten(bar.label, 24)) +
         svg_text("value", layout.at(length(bar)) + 6, y + 13, "start", shorten(bar.value, 24)) +
         "\n";
}

}  // namespace

std::string bar_chart_svg(const BarChart& chart, double width) {
  std::vector<LegendEntry> entries;
  for (const auto& [name, colour] : chart.legend) entries.push_back({name, colour});
  const Legend legend = draw_legend(entries, width);
  const Layout layout = lay_out(chart, width);
  const double top = legend.height + (chart.limit > 0 ? 26 : 8);
  const double bottom = top + kRow * static_cast<double>(chart.bars.size());
  std::string svg = svg_open(chart.title, width, bottom + 4) + legend.svg;
  const auto row = [&](size_t b) {
    return top + (kRow - kBarHeight) / 2 + kRow * static_cast<double>(b);
  };
  for (size_t b = 0; b < chart.bars.size(); ++b) svg += draw_bar(chart.bars[b], layout, row(b));
  svg += svg_line("axis", layout.left, top, layout.left, bottom);
  if (chart.limit > 0) {
    const double x = layout.at(chart.limit);
    const bool room = x + text_width(chart.limit_label) / 2 < width;
    svg += svg_line("limit", x, top - 4, x, bottom);
    svg += svg_text("label", room ? x : width - 2, top - 9, room ? "middle" : "end",
                    chart.limit_label);
  }
  // On top of the limit, which would strike them through.
  for (size_t b = 0; b < chart.bars.size(); ++b) {
    svg += draw_bar_texts(chart.bars[b], layout, row(b));
  }
  return svg + "</svg>\n";
}

}  // namespace regroup
