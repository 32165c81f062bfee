// Small maps side by side.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "charts/svg_chart.h"
#include "markup.h"
#include "support/expect_error.h"

namespace regroup {
namespace {

using testing::contains;
using testing::Markup;

/// Two maps of two lengths and two depths; the second shows what was lost.
HeatPanels two_panels(bool starts_row) {
  const auto rows = [](double first, double last) {
    return std::vector<HeatRow>{
        {.label = "0 %", .cells = {{first, "a", "at the start"}, {25, "25", "b"}}},
        {.label = "100 %",
         .cells = {{std::numeric_limits<double>::quiet_NaN(), "n", "none"}, {last, "z", "end"}}}};
  };
  return {
      .title = "t",
      .axes = "what they are",
      .columns = {"128", "256"},
      .panels = {{.label = "before", .colour = 1, .rows = rows(100, 0)},
                 {.label = "lost", .colour = 2, .rows = rows(50, -100), .starts_row = starts_row}}};
}

// Row names of 5 characters of 6.7, and 12 more: cells begin at 45.5 and are 56 wide at most, so a panel needs 45.5 + 112 and a
// gap of 22: the second one begins at 179.5, its first cell at 225. Rows begin at 18 + 22.
TEST(HeatPanelCharts, StandSideBySide) {
  const std::string svg = heat_panels_svg(two_panels(false), 960);
  Markup(svg).require_well_formed();
  // 100 of 100 is the darkest shade, 0.55; 25 is half of it, since the shade is the root.
  EXPECT_TRUE(contains(svg,
                       "<g class=\"c1\"><rect class=\"bar\" x=\"46.5\" y=\"41\" width=\"54\" "
                       "height=\"20\" fill-opacity=\"0.550\"><title>at the start</title>"))
      << svg;
  EXPECT_TRUE(contains(svg,
                       "<g class=\"c1\"><rect class=\"bar\" x=\"102.5\" y=\"41\" width=\"54\" "
                       "height=\"20\" fill-opacity=\"0.275\"><title>b</title>"))
      << svg;
  EXPECT_TRUE(contains(svg, "<g class=\"c2\"><rect class=\"bar\" x=\"226\" y=\"41\"")) << svg;
  EXPECT_TRUE(contains(svg, "<text class=\"name\" x=\"179.5\" y=\"32\"")) << svg;
  EXPECT_FALSE(contains(svg, "none")) << "a cell without a number is empty";
  // 18, and 22 + 2 * 22 + 20 + 12 of the panels.
  EXPECT_TRUE(contains(svg, "viewBox=\"0 0 960 116\"")) << svg;
}

TEST(HeatPanelCharts, WhatWasGainedIsGreen) {
  EXPECT_TRUE(contains(heat_panels_svg(two_panels(false), 960),
                       "<g class=\"c3\"><rect class=\"bar\" x=\"282\" y=\"63\" width=\"54\" "
                       "height=\"20\" fill-opacity=\"0.550\"><title>end</title>"));
}

TEST(HeatPanelCharts, BeginARowWhereTheyShouldAndWhereTheyMust) {
  const std::string second = "<text class=\"name\" x=\"0\" y=\"130\"";  // 98 below the first
  EXPECT_TRUE(contains(heat_panels_svg(two_panels(true), 960), second));
  EXPECT_TRUE(contains(heat_panels_svg(two_panels(false), 200), second));
  EXPECT_FALSE(contains(heat_panels_svg(two_panels(false), 960), second));
}

// Seven lengths on a narrow page: one map a row, and none of them is wider than the page.
TEST(HeatPanelCharts, FitANarrowPage) {
  HeatPanels chart = two_panels(false);
  chart.columns = {"128", "256", "512", "1024", "2048", "4096", "8192"};
  for (HeatPanel& panel : chart.panels) {
    for (HeatRow& row : panel.rows) row.cells.resize(7, {100, "100", "x"});
  }
  const std::string svg = heat_panels_svg(chart, 360);
  Markup(svg).require_well_formed();
  EXPECT_TRUE(contains(svg, "<text class=\"name\" x=\"0\" y=\"130\"")) << svg;
  // 45.5 + 7 * 44.93 = 360; the last cell begins at 45.5 + 6 * 44.93, and a line of the card is left free.
  EXPECT_TRUE(contains(svg, "x=\"316.1\"")) << svg;
}

// A map's own full shade, and names of columns that would run into each other.
TEST(HeatMaps, HaveAFullShadeAndColumnNamesThatFit) {
  HeatMap map{.title = "t", .x_label = "x", .columns = {}, .rows = {{.label = "r", .cells = {}}}};
  for (int i = 0; i < 60; ++i) {
    map.columns.push_back("1000 words");
    map.rows[0].cells.push_back({25, "25", "c"});
  }
  EXPECT_TRUE(contains(heat_map_svg(map, 960), "fill-opacity=\"0.550\""));
  map.full = 100;
  map.rows[0].colour = 1;
  const std::string svg = heat_map_svg(map, 960);
  EXPECT_TRUE(contains(svg, "<g class=\"c1\"><rect"));
  EXPECT_TRUE(contains(svg, "fill-opacity=\"0.275\""));
  size_t names = 0;
  for (size_t at = svg.find("1000 words"); at != std::string::npos;
       at = svg.find("1000 words", at + 1)) {
    ++names;
  }
  // (960 - 18.7) / 60 = 15.7 a column; a name is 67 wide and has 6 more: every fifth of 60.
  EXPECT_EQ(names, 12u);
}

}  // namespace
}  // namespace regroup
