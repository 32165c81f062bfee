#include <fmt/format.h>

#include <algorithm>

#include "charts/svg_chart.h"
#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kRow = 22;
constexpr double kHead = 22;  // the panel's label
constexpr double kFoot = 20;  // the names of the columns
constexpr double kBelow = 12;
constexpr double kGap = 22;
constexpr double kNarrowestCell = 30;
constexpr double kWidestCell = 56;
constexpr double kWidestLabel = 210;

double widest(const std::vector<HeatPanel>& panels) {
  double width = 0;
  for (const HeatPanel& panel : panels) {
    for (const HeatRow& row : panel.rows) width = std::max(width, text_width(row.label));
  }
  return width;
}

/// Where panels stand, all of one size.
struct Grid {
  double left;  ///< of the cells, in a panel: the names of its rows
  double cell = 0;
  double panel = 0;  ///< width, with the gap behind it
  double height = 0;
  size_t across = 1;

  Grid(const HeatPanels& chart, double width) : left(widest(chart.panels) + 12) {
    const auto columns = static_cast<double>(std::max<size_t>(1, chart.columns.size()));
    size_t rows = 0;
    for (const HeatPanel& one : chart.panels) rows = std::max(rows, one.rows.size());
    double label = 0;
    for (const HeatPanel& one : chart.panels) label = std::max(label, text_width(one.label));
    const double named = std::min(label, kWidestLabel);
    const double least = std::max(named, left + columns * kNarrowestCell) + kGap;
    across = static_cast<size_t>(std::max(1.0, (width + kGap) / least));
    across = std::min(across, std::max<size_t>(1, chart.panels.size()));
    panel = (width + kGap) / static_cast<double>(across);
    cell = std::min(kWidestCell, (panel - kGap - left) / columns);
    panel = std::max(named, left + columns * cell) + kGap;
    height = kHead + kRow * static_cast<double>(rows) + kFoot + kBelow;
  }
};

std::string draw_panel(const HeatPanels& chart, const HeatPanel& panel, const Grid& grid, double x,
                       double y) {
  const double room = grid.panel - kGap;
  const auto letters = static_cast<size_t>(std::max(8.0, room / kCharacterWidth));
  std::string svg = svg_text("name", x, y + 14, "start", shorten(panel.label, letters));
  double top = y + kHead;
  for (const HeatRow& row : panel.rows) {
    svg += svg_text("tick", x + grid.left - 6, top + 15, "end", row.label);
    for (size_t c = 0; c < row.cells.size(); ++c) {
      svg += svg_heat_cell(
          row.cells[c], row.cells[c].value / chart.full, panel.colour,
          SvgBox::sized(x + grid.left + grid.cell * static_cast<double>(c), top, grid.cell, kRow));
    }
    top += kRow;
  }
  for (size_t c = 0; c < chart.columns.size(); ++c) {
    svg += svg_text("tick", x + grid.left + grid.cell * (static_cast<double>(c) + 0.5), top + 14,
                    "middle", chart.columns[c]);
  }
  return svg + "\n";
}

}  // namespace

std::string heat_panels_svg(const HeatPanels& chart, double width) {
  const Grid grid(chart, width);
  std::string panels;
  double y = 18;
  size_t column = 0;
  for (const HeatPanel& panel : chart.panels) {
    const bool first = &panel == &chart.panels.front();
    if (!first && (panel.starts_row || column == grid.across)) {
      y += grid.height;
      column = 0;
    }
    panels += draw_panel(chart, panel, grid, grid.panel * static_cast<double>(column), y);
    ++column;
  }
  return svg_open(chart.title, width, y + grid.height) +
         svg_text("tick", 0, 12, "start", chart.axes) + panels + "</svg>\n";
}

}  // namespace regroup
