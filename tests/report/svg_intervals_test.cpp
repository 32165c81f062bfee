// Marks with whiskers over one axis.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "charts/svg_chart.h"
#include "markup.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup {
namespace {

using testing::contains;
using testing::Markup;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

/// One series, so that there is no legend and marks stand in the middle of their row.
IntervalChart small_intervals() {
  return {.title = "t",
          .x_label = "x",
          .series = {{"s", 1, Marker::kCircle}},
          .rows = {{"ab", {{.value = 0.5, .low = 0, .high = 1, .title = "half"}}}}};
}

// Width 960: the label's 2 characters of 6.7 and 14 more are left: 27.4; the right end is at 946. The numbers 0 to 1 have 4 % room on
// either side: -0.04 to 1.04. x(0) = 27.4 + 918.6 * 0.04 / 1.08 = 61.4, x(0.5) = 486.7, x(1) = 912.
// The row is 12 + 2 * 7 = 26 high and begins at 8: its middle is at 21.
TEST(IntervalCharts, PutMarksAndWhiskersWhereTheyBelong) {
  const std::string svg = interval_chart_svg(small_intervals(), 960);
  Markup(svg).require_well_formed();
  EXPECT_TRUE(contains(svg, "transform=\"translate(486.7 21)\"")) << svg;
  EXPECT_TRUE(
      contains(svg, "<line class=\"line thin\" x1=\"61.4\" y1=\"21\" x2=\"912\" y2=\"21\"/>"))
      << svg;
  EXPECT_TRUE(contains(svg, "<title>half</title>"));
  EXPECT_TRUE(
      contains(svg, "viewBox=\"0 0 960 78\" role=\"img\" aria-label=\"t\"><title>t</title>"));
  EXPECT_FALSE(contains(svg, " d=\"M486")) << "one mark joins nothing";
}

TEST(IntervalCharts, JoinARowsMarks) {
  IntervalChart chart = small_intervals();
  chart.series.push_back({"u", 2, Marker::kSquare});
  chart.rows[0].marks.push_back({.series = 1, .value = 1, .low = kNan, .high = kNan});
  EXPECT_FALSE(contains(interval_chart_svg(chart, 960), "<g class=\"c5\">"));
  chart.joined = true;
  const std::string svg = interval_chart_svg(chart, 960);
  Markup(svg).require_well_formed();
  EXPECT_TRUE(
      contains(svg, "<g class=\"c5\"><path class=\"line thin\" d=\"M486.7 39.5L912 46.5\"/></g>"))
      << svg;
  EXPECT_TRUE(contains(svg, "<title>u</title>")) << "a mark without a title has its series' name";
}

TEST(IntervalCharts, LinesHaveTheirLabels) {
  IntervalChart chart = small_intervals();
  chart.lines = {{0, "none"}, {-0.25, "a margin"}};
  const std::string svg = interval_chart_svg(chart, 360);
  Markup(svg).require_well_formed();
  EXPECT_TRUE(contains(svg, "text-anchor=\"middle\">none</text>"));
  EXPECT_TRUE(contains(svg, "text-anchor=\"middle\">a margin</text>"));
  EXPECT_TRUE(contains(svg, "class=\"limit\"")) << svg;
}

TEST(IntervalCharts, WhatIsNoNumberIsLeftOut) {
  IntervalChart chart = small_intervals();
  chart.log_x = true;
  const double inf = std::numeric_limits<double>::infinity();
  chart.rows = {{"none", {{.value = kNan, .low = 0, .high = 1}}},
                {"zero", {{.value = 0, .low = -1, .high = 1}}},
                {"open", {{.value = 10, .low = 0, .high = inf}}},
                {"strange", {{.series = 7, .value = 10, .low = 1, .high = 100}}},
                {"nothing", {}}};
  chart.lines = {{0, "zero"}, {kNan, "none"}};
  for (const double width : {360.0, 960.0}) {
    const std::string svg = interval_chart_svg(chart, width);
    Markup(svg).require_well_formed();
    for (const char* wrong : {"\"nan", "\"inf", "\"-inf", "class=\"limit\""}) {
      EXPECT_FALSE(contains(svg, wrong)) << svg;
    }
    EXPECT_EQ(svg.find("class=\"mark\""), svg.rfind("class=\"mark\"")) << "the 10 alone";
  }
}

TEST(IntervalCharts, OfNothingIsStillAPicture) {
  IntervalChart chart = small_intervals();
  chart.rows.clear();
  Markup(interval_chart_svg(chart, 960)).require_well_formed();
  chart.log_x = true;
  Markup(interval_chart_svg(chart, 360)).require_well_formed();
}

TEST(IntervalCharts, EscapeEveryText) {
  const std::string evil = "</svg><script>\"'&";
  const IntervalChart chart{.title = evil,
                            .x_label = evil,
                            .series = {{evil, 1, Marker::kCircle}, {evil, 2, Marker::kSquare}},
                            .rows = {{evil, {{.value = 1, .title = evil}}}},
                            .lines = {{1, evil}}};
  for (const double width : {360.0, 960.0}) {
    const std::string svg = interval_chart_svg(chart, width);
    Markup(svg).require_well_formed();
    EXPECT_FALSE(contains(svg, "<script"));
  }
}

}  // namespace
}  // namespace regroup
