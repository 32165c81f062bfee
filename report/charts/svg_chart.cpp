#include "charts/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

/// One axis: data to picture.
struct Scale {
  double low = 0;
  double high = 1;
  double from = 0;  ///< where low lies
  double to = 1;    ///< where high lies
  bool log = false;

  bool can_show(double value) const { return std::isfinite(value) && (!log || value > 0); }
  double operator()(double value) const {
    const double share = log ? (std::log(value) - std::log(low)) / (std::log(high) - std::log(low))
                             : (value - low) / (high - low);
    return from + share * (to - from);
  }
};

/// Takes in values, then leaves room around them.
class Range {
 public:
  explicit Range(bool log) : log_(log) {}
  void add(double value) {
    if (!std::isfinite(value) || (log_ && value <= 0)) return;
    low_ = std::min(low_, value);
    high_ = std::max(high_, value);
  }
  void apply(Scale& scale, double room) const {
    scale.log = log_;
    scale.low = low_ <= high_ ? low_ : log_ ? 1 : 0;
    scale.high = low_ <= high_ ? high_ : log_ ? 10 : 1;
    if (log_) {
      const double factor = scale.low == scale.high ? 2 : std::pow(scale.high / scale.low, room);
      scale.low /= factor;
      scale.high *= factor;
    } else {
      const double same = scale.low == 0 ? 1 : std::abs(scale.low) * 0.1;
      const double pad = scale.low == scale.high ? same : (scale.high - scale.low) * room;
      scale.low -= pad;
      scale.high += pad;
    }
  }

 private:
  bool log_;
  double low_ = std::numeric_limits<double>::infinity();
  double high_ = -std::numeric_limits<double>::infinity();
};

struct Frame {
  Scale x;
  Scale y;
  std::vector<double> x_ticks;
  std::vector<double> y_ticks;
};

void fit_ranges(const LineChart& chart, Frame& frame) {
  Range x(chart.log_x);
  Range y(chart.log_y);
  for (const ChartSeries& series : chart.series) {
    for (const ChartPoint& point : series.points) {
      if (!std::isfinite(point.x) || !std::isfinite(point.y)) continue;
      x.add(point.x);
      for (const double value : {point.y, point.low, point.high}) y.add(value);
    }
  }
  for (const ReferenceLine& line : chart.references) y.add(line.y);
  for (const double tick : chart.x_ticks) x.add(tick);
  x.apply(frame.x, chart.x_ticks.empty() ? 0.02 : 0.12);
  constexpr std::array<double, 3> kRoom = {0.06, 0.1, 0.14};  // of two lines, one is labelled below
  y.apply(frame.y, kRoom[std::min<size_t>(chart.references.size(), 2)]);
}

Frame make_frame(const LineChart& chart, const ChartSize& size, double top) {
  Frame frame;
  fit_ranges(chart, frame);
  const auto ticks = [](const Scale& scale, int max) {
    return scale.log ? log_ticks(scale.low, scale.high, max)
                     : linear_ticks(scale.low, scale.high, max);
  };
  frame.x_ticks = chart.x_ticks.empty()
                      ? ticks(frame.x, std::min(10, static_cast<int>(size.width / 60)))
                      : chart.x_ticks;
  frame.y_ticks = ticks(frame.y, static_cast<int>(size.height / 44));
  double widest = 0;
  for (const double tick : frame.y_ticks) {
    widest = std::max(widest, text_width(tick_text(tick, AxisFormat::kNumber)));
  }
  frame.x.from = widest + 14;
  frame.x.to = size.width - 14;
  frame.y.from = size.height - 44;
  frame.y.to = top;
  return frame;
}

std::string draw_axes(const LineChart& chart, const Frame& f, const ChartSize& size) {
  std::string svg;
  for (const double tick : f.y_ticks) {
    const double y = f.y(tick);
    svg += svg_line("grid", f.x.from, y, f.x.to, y);
    svg += svg_text("tick", f.x.from - 7, y + 4, "end", tick_text(tick, AxisFormat::kNumber));
  }
  double free_from = 0;
  for (const double tick : f.x_ticks) {
    if (!f.x.can_show(tick)) continue;
    const double x = f.x(tick);
    const std::string text = tick_text(tick, chart.x_format);
    svg += svg_line("axis", x, f.y.from, x, f.y.from + 5);
    const double half = text_width(text) / 2;
    if (x - half < free_from) continue;  // would run into its neighbour
    svg += svg_text("tick", std::min(x, size.width - half), f.y.from + 18, "middle", text);
    free_from = x + half + 4;
  }
  svg += svg_line("axis", f.x.from, f.y.from, f.x.to, f.y.from);
  svg += svg_text("name", (f.x.from + f.x.to) / 2, size.height - 8, "middle", chart.x_label);
  return svg + svg_text("name", 2, f.y.to - 12, "start", chart.y_label);
}

/// The polyline, broken where a point cannot be shown.
std::string line_path(const ChartSeries& series, const Frame& f) {
  std::string path;
  bool pen_down = false;
  for (const ChartPoint& point : series.points) {
    const bool shown = f.x.can_show(point.x) && f.y.can_show(point.y);
    if (shown) {
      path += fmt::format("{}{} {}", pen_down ? "L" : "M", svg_number(f.x(point.x)),
                          svg_number(f.y(point.y)));
    }
    pen_down = shown;
  }
  return path;
}

std::string draw_whisker(const ChartPoint& point, const Frame& f) {
  if (!f.y.can_show(point.low) || !f.y.can_show(point.high) || point.low == point.high) return "";
  const double x = f.x(point.x);
  std::string svg = svg_line("line thin", x, f.y(point.low), x, f.y(point.high));
  for (const double end : {point.low, point.high}) {
    svg += svg_line("line thin", x - 4, f.y(end), x + 4, f.y(end));
  }
  return svg;
}

std::string draw_series(const ChartSeries& series, const Frame& f) {
  std::string svg = fmt::format("<g class=\"c{}\">", series.colour);
  if (series.line) {
    svg += fmt::format("<path class=\"line{}{}\" d=\"{}\"><title>{}</title></path>",
                       series.thin ? " thin" : "", series.dashed ? " dashed" : "",
                       line_path(series, f), escape_html(series.name));
  }
  for (const ChartPoint& point : series.points) {
    if (series.marker == Marker::kNone) break;
    if (!f.x.can_show(point.x) || !f.y.can_show(point.y)) continue;
    svg += draw_whisker(point, f);
    svg += svg_marker(series.marker, f.x(point.x), f.y(point.y),
                      point.title.empty() ? series.name : point.title);
  }
  return svg + "</g>\n";
}

/// The corners of a series between two marks, and points on the way there: what a label would hide.
std::vector<std::pair<double, double>> drawn_points(const LineChart& chart, const Frame& f) {
  constexpr int kOnTheWay = 8;
  std::vector<std::pair<double, double>> drawn;
  for (const ChartSeries& series : chart.series) {
    const ChartPoint* last = nullptr;
    for (const ChartPoint& point : series.points) {
      const bool shown = f.x.can_show(point.x) && f.y.can_show(point.y);
      const int steps = series.line && shown && last != nullptr ? kOnTheWay : 1;
      for (int i = 1; shown && i <= steps; ++i) {
        const double share = static_cast<double>(i) / steps;
        const double x0 = f.x((last != nullptr ? *last : point).x);
        const double y0 = f.y((last != nullptr ? *last : point).y);
        drawn.emplace_back(x0 + share * (f.x(point.x) - x0), y0 + share * (f.y(point.y) - y0));
      }
      last = shown ? &point : nullptr;
    }
  }
  return drawn;
}

/// Where the text of a reference line stands.
struct ReferenceLabel {
  const ReferenceLine* line = nullptr;
  std::string text;
  double y = 0;
  bool at_end = true;  ///< of the line; else at its start
  SvgBox box;
};

SvgBox label_box(const Frame& f, double width, double y, bool at_end) {
  const double left = at_end ? f.x.to - width : f.x.from;
  return {.left = left, .top = y - 11, .right = left + width, .bottom = y + 3};
}

/// Labels stand above their lines, the lowest one below its own, and none on another; at the end
/// that hides less of what the chart shows.
std::vector<ReferenceLabel> place_references(const LineChart& chart, const Frame& f) {
  std::vector<const ReferenceLine*> lines;
  for (const ReferenceLine& line : chart.references) {
    if (f.y.can_show(line.y)) lines.push_back(&line);
  }
  std::stable_sort(lines.begin(), lines.end(), [](auto* a, auto* b) { return a->y > b->y; });
  const auto max = static_cast<size_t>((f.x.to - f.x.from) / kCharacterWidth);
  const auto drawn = drawn_points(chart, f);
  const auto hidden = [&](const SvgBox& box) {
    constexpr double kReach = 6;  // of a marker
    return std::count_if(drawn.begin(), drawn.end(), [&](const auto& at) {
      return at.first > box.left - kReach && at.first < box.right + kReach &&
             at.second > box.top - kReach && at.second < box.bottom + kReach;
    });
  };
  std::vector<ReferenceLabel> labels;
  double free_from = 0;
  for (const ReferenceLine* line : lines) {
    const double y = f.y(line->y);
    const bool below = lines.size() > 1 && line == lines.back();
    const double text_y = std::max(y + (below ? 15 : -6), free_from);
    free_from = text_y + 15;
    ReferenceLabel label{.line = line, .text = shorten(line->label, max), .y = text_y, .box = {}};
    const double width = text_width(label.text);
    const SvgBox end = label_box(f, width, text_y, true);
    const SvgBox start = label_box(f, width, text_y, false);
    label.at_end = hidden(end) <= hidden(start);
    label.box = label.at_end ? end : start;
    labels.push_back(std::move(label));
  }
  return labels;
}

std::string draw_references(const std::vector<ReferenceLabel>& labels, const Frame& f) {
  std::string svg;
  for (const ReferenceLabel& label : labels) {
    const double y = f.y(label.line->y);
    svg += fmt::format("<g class=\"c{}\">{}</g>", label.line->colour,
                       svg_line("ref", f.x.from, y, f.x.to, y));
    svg += svg_text("label", label.at_end ? f.x.to : f.x.from, label.y,
                    label.at_end ? "end" : "start", label.text);
    svg += "\n";
  }
  return svg;
}

/// A marker and its whisker.
SvgBox box_of_mark(const ChartPoint& point, const Frame& f) {
  constexpr double kReach = 6;
  const double x = f.x(point.x);
  const double y = f.y(point.y);
  const double top = f.y.can_show(point.high) ? std::min(y, f.y(point.high)) : y;
  const double bottom = f.y.can_show(point.low) ? std::max(y, f.y(point.low)) : y;
  return {x - kReach, top - kReach, x + kReach, bottom + kReach};
}

/// A line from mark to mark, as a chain of dots.
void keep_line_free(const ChartPoint& from, const ChartPoint& to, const Frame& f,
                    LabelPlacer& placer) {
  constexpr int kDots = 64;
  for (int i = 0; i <= kDots; ++i) {
    const double share = static_cast<double>(i) / kDots;
    const double x = f.x(from.x) + share * (f.x(to.x) - f.x(from.x));
    const double y = f.y(from.y) + share * (f.y(to.y) - f.y(from.y));
    placer.keep_free({x - 1, y - 1, x + 1, y + 1});
  }
}

/// Labels of points, on nothing else that the chart shows.
std::string draw_labels(const LineChart& chart, const std::vector<ReferenceLabel>& references,
                        const Frame& f, const ChartSize& size) {
  LabelPlacer placer({f.x.from + 2, f.y.to - 8, size.width - 2, f.y.from});
  std::vector<const ChartPoint*> labelled;
  for (const ChartSeries& series : chart.series) {
    const ChartPoint* last = nullptr;
    for (const ChartPoint& point : series.points) {
      if (point.label.empty() || !f.x.can_show(point.x) || !f.y.can_show(point.y)) continue;
      placer.keep_free(box_of_mark(point, f));
      if (series.line && last != nullptr) keep_line_free(*last, point, f, placer);
      labelled.push_back(&point);
      last = &point;
    }
  }
  for (const ReferenceLabel& reference : references) placer.keep_free(reference.box);
  std::string svg;
  for (const ChartPoint* point : labelled) {
    svg += placer.place(f.x(point->x), f.y(point->y), point->label);
  }
  return svg;
}

}  // namespace

std::string line_chart_svg(const LineChart& chart, const ChartSize& given) {
  std::vector<LegendEntry> entries;
  for (const ChartSeries& series : chart.series) {
    entries.push_back({series.name, series.colour, series.marker, series.line, series.dashed});
  }
  const Legend legend = draw_legend(entries, given.width);
  constexpr double kLegendRoom = 42;  // two rows; more of them make the chart higher
  const ChartSize size{.width = given.width,
                       .height = given.height + std::max(0.0, legend.height - kLegendRoom)};
  const Frame frame = make_frame(chart, size, legend.height + 26);
  std::string svg = svg_open(chart.title, size.width, size.height) + legend.svg;
  svg += draw_axes(chart, frame, size);
  for (const ChartSeries& series : chart.series) svg += draw_series(series, frame);
  const std::vector<ReferenceLabel> references = place_references(chart, frame);
  return svg + draw_references(references, frame) + draw_labels(chart, references, frame, size) +
         "</svg>\n";
}

}  // namespace regroup
