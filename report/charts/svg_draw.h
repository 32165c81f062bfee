#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "charts/svg_chart.h"

namespace regroup {

/// The strokes that both kinds of chart are made of. Texts are escaped here, and only here.
inline constexpr double kCharacterWidth = 6.7;  // of a 12-unit sans serif, generously
double text_width(std::string_view text);
std::string svg_number(double value);
std::string svg_open(const std::string& title, double width, double height);
std::string svg_line(const char* kind, double x1, double y1, double x2, double y2);
std::string svg_text(const char* kind, double x, double y, const char* anchor,
                     const std::string& text);
std::string svg_marker(Marker marker, double x, double y, const std::string& title);

struct LegendEntry {
  std::string name;
  int colour = 1;
  Marker marker = Marker::kNone;
  bool line = false;  ///< without a line and a marker: a filled box
  bool dashed = false;
};
struct Legend {
  std::string svg;
  double height = 0;
};
/// Rows from the top, wrapped at `width`; nothing for a single entry.
Legend draw_legend(const std::vector<LegendEntry>& entries, double width);

}  // namespace regroup
