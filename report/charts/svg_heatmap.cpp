#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "charts/svg_chart.h"
#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kRow = 26;
constexpr double kHead = 40;  // the column names and what they are

double largest(const HeatMap& map) {
  double max = 0;
  for (const HeatRow& row : map.rows) {
    for (const HeatCell& cell : row.cells) {
      if (std::isfinite(cell.value)) max = std::max(max, cell.value);
    }
  }
  return max > 0 ? max : 1;
}

std::string draw_cell(const HeatCell& cell, double share, double x, double y, double width) {
  if (!std::isfinite(cell.value)) return "";
  // Text stays readable on every shade, so the darkest is far from full.
  const double opacity = 0.55 * std::sqrt(std::clamp(share, 0.0, 1.0));
  std::string svg = fmt::format(
      "<g class=\"c2\"><rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
      "fill-opacity=\"{:.3f}\"><title>{}</title></rect></g>",
      svg_number(x + 1), svg_number(y + 1), svg_number(std::max(0.5, width - 2)),
      svg_number(kRow - 2), opacity, escape_html(cell.title));
  if (text_width(cell.text) + 4 <= width) {
    svg += svg_text("name", x + width / 2, y + 17, "middle", cell.text);
  }
  return svg;
}

}  // namespace

std::string heat_map_svg(const HeatMap& map, double width) {
  double label = 0;
  for (const HeatRow& row : map.rows) label = std::max(label, text_width(shorten(row.label, 24)));
  const double left = label + 12;
  const double step = (width - left) / static_cast<double>(std::max<size_t>(1, map.columns.size()));
  const double max = largest(map);
  std::string svg =
      svg_open(map.title, width, kHead + kRow * static_cast<double>(map.rows.size()) + 4);
  svg += svg_text("name", left, 13, "start", map.x_label);
  // As many column names as fit.
  const auto every = static_cast<size_t>(std::max(1.0, std::ceil(24 / step)));
  for (size_t c = 0; c < map.columns.size(); c += every) {
    svg += svg_text("tick", left + step * (static_cast<double>(c) + 0.5), 32, "middle",
                    map.columns[c]);
  }
  double y = kHead;
  for (const HeatRow& row : map.rows) {
    svg += svg_text("tick", left - 8, y + 17, "end", shorten(row.label, 24));
    for (size_t c = 0; c < row.cells.size(); ++c) {
      svg += draw_cell(row.cells[c], row.cells[c].value / max, left + step * static_cast<double>(c),
                       y, step);
    }
    svg += "\n";
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace regroup
