#pragma once

#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace regroup {

/// How the numbers of an axis are written.
enum class AxisFormat { kNumber, kCount, kBytes };
enum class Marker { kNone, kCircle, kSquare, kDiamond, kTriangle };

/// Colours are the page's variables --c1 (blue), --c2 (orange), --c3 (green), --c4 (pink): the
/// Okabe-Ito set, which every kind of colour vision tells apart. Markers and dashes differ as well.
struct ChartPoint {
  double x = 0;
  double y = 0;
  std::string title = {};  ///< shown when the pointer rests on its marker
  std::string label = {};  ///< written beside it
  /// The ends of a whisker; not finite: none.
  double low = std::numeric_limits<double>::quiet_NaN();
  double high = std::numeric_limits<double>::quiet_NaN();
};
struct ChartSeries {
  std::string name;
  int colour = 1;  ///< 1 to 4; 5 is grey
  Marker marker = Marker::kNone;
  bool line = true;
  bool thin = false;  ///< a noisy series that stays in the background
  bool dashed = false;
  std::vector<ChartPoint> points =
      {};  ///< those that are not finite (or not positive on a log axis) are skipped
};
struct ReferenceLine {
  double y = 0;
  std::string label;
  int colour = 1;
};

struct LineChart {
  std::string title;  ///< read out by screen readers
  std::string x_label;
  std::string y_label;
  AxisFormat x_format = AxisFormat::kNumber;
  bool log_x = false;
  bool log_y = false;
  std::vector<double> x_ticks = {};  ///< empty: chosen
  std::vector<ChartSeries> series = {};
  std::vector<ReferenceLine> references = {};
};

/// Size of the viewBox; 12 units are the height of the text, so a narrow page needs a narrow chart.
struct ChartSize {
  double width = 720;
  double height = 340;
};

/// One <svg> element: no script, no colours of its own, well-formed XML.
std::string line_chart_svg(const LineChart& chart, const ChartSize& size);

struct BarPart {
  double value = 0;
  int colour = 1;
};
struct Bar {
  std::string label;
  std::string value;           ///< written behind the bar
  std::vector<BarPart> parts;  ///< stacked
};
struct BarChart {
  std::string title;
  std::vector<std::pair<std::string, int>> legend;  ///< name and colour of the parts
  std::vector<Bar> bars;
  double limit = 0;  ///< a line across the bars; 0: none
  std::string limit_label;
};
/// Horizontal stacked bars from zero.
std::string bar_chart_svg(const BarChart& chart, double width);

struct HeatCell {
  double value = 0;   ///< not finite: left empty; below 0: as dark as its opposite, in green
  std::string text;   ///< written in the cell
  std::string title;  ///< shown when the pointer rests on it
};
struct HeatRow {
  std::string label;
  std::vector<HeatCell> cells;
  int colour = 2;  ///< 1 to 4
};
/// Shade grows with the square root of a value's share of the largest; every cell has its number.
struct HeatMap {
  std::string title;
  std::string x_label;
  std::vector<std::string> columns;
  std::vector<HeatRow> rows;
  double full = 0;  ///< value of the darkest shade; 0: the largest
};
std::string heat_map_svg(const HeatMap& map, double width);

/// One small map of several that have the same columns.
struct HeatPanel {
  std::string label;
  int colour = 1;  ///< 1 to 4
  std::vector<HeatRow> rows;
  bool starts_row = false;  ///< stands at the left even where there is room beside the one before
};
struct HeatPanels {
  std::string title;
  std::string axes;  ///< what columns and rows are
  std::vector<std::string> columns;
  std::vector<HeatPanel> panels;
  double full = 100;  ///< value of the darkest shade
};
/// As many panels side by side as the width bears.
std::string heat_panels_svg(const HeatPanels& chart, double width);

/// A number with what it may be.
struct IntervalMark {
  size_t series = 0;  ///< of the chart's
  double value = 0;   ///< not finite: left out
  double low = 0;     ///< not finite: no whisker
  double high = 0;
  std::string title;  ///< shown when the pointer rests on it
};
struct IntervalRow {
  std::string label;
  std::vector<IntervalMark> marks;
};
struct IntervalSeries {
  std::string name;
  int colour = 1;  ///< 1 to 5
  Marker marker = Marker::kCircle;
};
struct IntervalLine {
  double x = 0;
  std::string label;
};
/// Rows of marks with whiskers over one axis: scores of models joined (a dumbbell), or differences beside lines (a forest).
struct IntervalChart {
  std::string title;
  std::string x_label;
  std::vector<IntervalSeries> series;
  std::vector<IntervalRow> rows;
  std::vector<IntervalLine> lines = {};
  bool joined = false;  ///< a row's marks, in their order
  bool log_x = false;   ///< marks and whiskers that are not positive are left out
};
/// As high as its rows ask for; narrow ones have their label above the marks.
std::string interval_chart_svg(const IntervalChart& chart, double width);

/// Ticks at 1, 2 or 5 times a power of ten, inside [low, high], at most `max`.
std::vector<double> linear_ticks(double low, double high, int max);
std::vector<double> log_ticks(double low, double high, int max);
std::string tick_text(double value, AxisFormat format);

}  // namespace regroup
