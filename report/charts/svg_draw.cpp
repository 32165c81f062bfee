#include "charts/svg_draw.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "writers/escape.h"

namespace regroup {

double text_width(std::string_view text) {
  return kCharacterWidth * static_cast<double>(count_characters(text));
}

std::string svg_number(double value) {
  return fmt::format("{:g}", std::round(value * 10) / 10 + 0.0);  // never -0
}

std::string svg_open(const std::string& title, double width, double height) {
  const std::string text = escape_html(title);
  return fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" "
      "aria-label=\"{}\"><title>{}</title>\n",
      svg_number(width), svg_number(height), text, text);
}

std::string svg_line(const char* kind, double x1, double y1, double x2, double y2) {
  return fmt::format("<line class=\"{}\" x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"/>", kind,
                     svg_number(x1), svg_number(y1), svg_number(x2), svg_number(y2));
}

std::string svg_text(const char* kind, double x, double y, const char* anchor,
                     const std::string& text) {
  return fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\" text-anchor=\"{}\">{}</text>", kind,
                     svg_number(x), svg_number(y), anchor, escape_html(text));
}

namespace {

/// The outline of a marker around (0, 0).
const char* marker_shape(Marker marker) {
  switch (marker) {
    case Marker::kSquare:
      return "M-4 -4H4V4H-4Z";
    case Marker::kDiamond:
      return "M0 -5.6L5.6 0L0 5.6L-5.6 0Z";
    case Marker::kTriangle:
      return "M0 -5.4L5.2 4.2H-5.2Z";
    default:
      return "M-4.4 0A4.4 4.4 0 1 1 4.4 0A4.4 4.4 0 1 1 -4.4 0Z";
  }
}

std::string draw_key(const LegendEntry& entry, double x, double y) {
  std::string svg = fmt::format("<g class=\"c{}\">", entry.colour);
  if (entry.line) {
    svg += svg_line(entry.dashed ? "line dashed" : "line", x, y - 4, x + 20, y - 4);
  } else if (entry.marker == Marker::kNone) {
    svg += fmt::format("<rect class=\"bar\" x=\"{}\" y=\"{}\" width=\"14\" height=\"10\"/>",
                       svg_number(x + 3), svg_number(y - 9));
  }
  if (entry.marker != Marker::kNone) svg += svg_marker(entry.marker, x + 10, y - 4, entry.name);
  return svg + "</g>";
}

}  // namespace

std::string svg_marker(Marker marker, double x, double y, const std::string& title) {
  return fmt::format(
      "<path class=\"mark\" transform=\"translate({} {})\" d=\"{}\"><title>{}</title></path>",
      svg_number(x), svg_number(y), marker_shape(marker), escape_html(title));
}

std::string shorten_inside(const std::string& text, size_t max) {
  if (count_characters(text) <= max) return text;
  size_t end = text.size();  // of what is left out
  for (size_t kept = 0; kept < max - max / 3 - 1 && end > 0;) {
    --end;
    if ((static_cast<unsigned char>(text[end]) & 0xC0) != 0x80) ++kept;
  }
  return shorten(text, max / 3) + text.substr(end);
}

Legend draw_legend(const std::vector<LegendEntry>& entries, double width) {
  Legend legend;
  if (entries.size() < 2) return legend;
  constexpr double kKey = 26;
  constexpr double kRow = 20;
  double x = 2;
  double y = 14;
  for (const LegendEntry& entry : entries) {
    const std::string name = shorten_inside(entry.name, 40);
    const double needed = kKey + text_width(name);
    if (x > 2 && x + needed > width) {
      x = 2;
      y += kRow;
    }
    legend.svg += draw_key(entry, x, y) + svg_text("key", x + kKey, y, "start", name) + "\n";
    x += needed + 14;
  }
  legend.height = y + 8;
  return legend;
}

}  // namespace regroup
