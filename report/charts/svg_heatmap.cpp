#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "charts/svg_chart.h"
#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr size_t kLabelLetters = 34;

constexpr double kRow = 26;
constexpr double kHead = 40;  // the column names and what they are

double largest(const HeatMap& map) {
  double max = 0;
  for (const HeatRow& row : map.rows) {
    for (const HeatCell& cell : row.cells) {
      if (std::isfinite(cell.value)) max = std::max(max, std::abs(cell.value));
    }
  }
  return max > 0 ? max : 1;
}

/// A column name every so many, so that none runs into the next.
size_t named_columns(const HeatMap& map, double step) {
  double widest = 18;
  for (const std::string& name : map.columns) widest = std::max(widest, text_width(name));
  return static_cast<size_t>(std::max(1.0, std::ceil((widest + 6) / step)));
}

}  // namespace

std::string svg_heat_cell(const HeatCell& cell, double share, int colour, const SvgBox& box) {
  if (!std::isfinite(cell.value)) return "";
  constexpr int kGreen = 3;
  // Text stays readable on every shade, so the darkest is far from full.
  const double opacity = 0.55 * std::sqrt(std::min(std::abs(share), 1.0));
  std::string svg = fmt::format(
      "<g class=\"c{}\"><rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" "
      "fill-opacity=\"{:.3f}\"><title>{}</title></rect></g>",
      share < 0 ? kGreen : colour, svg_number(box.left + 1), svg_number(box.top + 1),
      svg_number(std::max(0.5, box.width() - 2)), svg_number(box.height() - 2), opacity,
      escape_html(cell.title));
  if (text_width(cell.text) + 4 <= box.width()) {
    svg += svg_text("name", box.left + box.width() / 2, box.top + box.height() / 2 + 4, "middle",
                    cell.text);
  }
  return svg;
}

std::string heat_map_svg(const HeatMap& map, double width) {
  double label = 0;
  for (const HeatRow& row : map.rows)
    label = std::max(label, text_width(shorten(row.label, kLabelLetters)));
  const double left = label + 12;
  const double step = (width - left) / static_cast<double>(std::max<size_t>(1, map.columns.size()));
  const double max = map.full > 0 ? map.full : largest(map);
  std::string svg =
      svg_open(map.title, width, kHead + kRow * static_cast<double>(map.rows.size()) + 4);
  svg += svg_text("name", left, 13, "start", map.x_label);
  for (size_t c = 0; c < map.columns.size(); c += named_columns(map, step)) {
    svg += svg_text("tick", left + step * (static_cast<double>(c) + 0.5), 32, "middle",
                    map.columns[c]);
  }
  double y = kHead;
  for (const HeatRow& row : map.rows) {
    svg += svg_text("tick", left - 8, y + 17, "end", shorten(row.label, kLabelLetters));
    for (size_t c = 0; c < row.cells.size(); ++c) {
      svg += svg_heat_cell(row.cells[c], row.cells[c].value / max, row.colour,
                           SvgBox::sized(left + step * static_cast<double>(c), y, step, kRow));
    }
    svg += "\n";
    y += kRow;
  }
  return svg + "</svg>\n";
}

}  // namespace regroup
