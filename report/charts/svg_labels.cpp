#include <algorithm>
#include <array>

#include "charts/svg_draw.h"
#include "writers/escape.h"

namespace regroup {
namespace {

constexpr double kAscent = 11;   // of a 12-unit text, above its line
constexpr double kDescent = 3;   // below it
constexpr size_t kLongest = 28;  // characters

/// Where a label may stand: from the marker to its line, and which of its ends is there.
struct LabelPlace {
  double dx;
  double dy;
  const char* anchor;
};
constexpr std::array<LabelPlace, 8> kPlaces = {{{8, -7, "start"},
                                                {-8, 15, "end"},
                                                {8, 15, "start"},
                                                {-8, -7, "end"},
                                                {0, -12, "middle"},
                                                {0, 22, "middle"},
                                                {10, 4, "start"},
                                                {-10, 4, "end"}}};

SvgBox box_of(double x, double y, const LabelPlace& place, double width) {
  const bool ends = std::string_view(place.anchor) == "end";
  const double left = std::string_view(place.anchor) == "middle" ? x - width / 2
                      : ends                                     ? x - width
                                                                 : x;
  return {left + place.dx, y + place.dy - kAscent, left + place.dx + width,
          y + place.dy + kDescent};
}

bool is_inside(const SvgBox& inner, const SvgBox& outer) {
  return inner.left >= outer.left && inner.right <= outer.right && inner.top >= outer.top &&
         inner.bottom <= outer.bottom;
}

bool overlap(const SvgBox& a, const SvgBox& b) {
  return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
}

}  // namespace

std::string LabelPlacer::place(double x, double y, const std::string& text) {
  const std::string shown = shorten(text, kLongest);
  const double width = text_width(shown);
  const LabelPlace* chosen = nullptr;
  for (const LabelPlace& place : kPlaces) {
    const SvgBox box = box_of(x, y, place, width);
    const bool free = std::none_of(taken_.begin(), taken_.end(),
                                   [&](const SvgBox& other) { return overlap(box, other); });
    if (!is_inside(box, bounds_)) continue;
    if (chosen == nullptr || free) chosen = &place;
    if (free) break;
  }
  if (chosen == nullptr) chosen = kPlaces.data();
  taken_.push_back(box_of(x, y, *chosen, width));
  return svg_text("value", x + chosen->dx, y + chosen->dy, chosen->anchor, shown) + "\n";
}

}  // namespace regroup
