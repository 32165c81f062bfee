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

/// A part of a picture, in its units; y grows downwards.
struct SvgBox {
  double left = 0;
  double top = 0;
  double right = 0;
  double bottom = 0;

  static SvgBox sized(double left, double top, double width, double height) {
    return {.left = left, .top = top, .right = left + width, .bottom = top + height};
  }
  double width() const { return right - left; }
  double height() const { return bottom - top; }
};
/// Finds room for labels beside markers: above to the right where it is free, else elsewhere around.
class LabelPlacer {
 public:
  /// @param bounds  that labels stay in
  explicit LabelPlacer(const SvgBox& bounds) : bounds_(bounds) {}
  /// Nothing is written there.
  void keep_free(const SvgBox& box) { taken_.push_back(box); }
  /// A text beside (x, y); in the first place of all where each of them is taken.
  std::string place(double x, double y, const std::string& text);

 private:
  SvgBox bounds_;
  std::vector<SvgBox> taken_;
};

/// A cell of a heat map, with its number where there is room. Nothing for a value that is not finite.
/// @param share  of the darkest shade; below 0 the cell is green
std::string svg_heat_cell(const HeatCell& cell, double share, int colour, const SvgBox& box);

/// At most about `max` characters, with "…" where some were left out: ends tell names apart.
std::string shorten_inside(const std::string& text, size_t max);

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
