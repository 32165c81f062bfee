#include "charts/svg_chart.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "markup.h"

namespace regroup {
namespace {

using testing::Markup;

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

LineChart small_chart() {
  return {.title = "t",
          .x_label = "x",
          .y_label = "y",
          .series = {{.name = "s", .marker = Marker::kCircle, .points = {{0, 1}, {10, 3}}}}};
}

TEST(Ticks, StandAtOneTwoFive) {
  // (10 - 0) / 5 intervals = 2; (1 - 0) / 5 = 0.2; (7 - 0) / 5 = 1.4, so 2.
  EXPECT_EQ(linear_ticks(0, 10, 6), (std::vector<double>{0, 2, 4, 6, 8, 10}));
  EXPECT_EQ(linear_ticks(0.1, 7, 6), (std::vector<double>{2, 4, 6}));
  EXPECT_EQ(linear_ticks(-1, 1, 5), (std::vector<double>{-1, -0.5, 0, 0.5, 1}));
  EXPECT_FALSE(std::signbit(linear_ticks(-1, 1, 5)[2]));
}

TEST(Ticks, OfALogarithmicAxis) {
  EXPECT_EQ(log_ticks(1, 100, 8), (std::vector<double>{1, 2, 5, 10, 20, 50, 100}));
  EXPECT_EQ(log_ticks(1, 1e6, 8), (std::vector<double>{1, 10, 100, 1e3, 1e4, 1e5, 1e6}));
}

TEST(Ticks, AreFewWhateverTheRange) {
  const double big = 1e300;
  for (const auto& [low, high] : {std::pair{0.0, big}, std::pair{1.0, 1.0 + 1e-15},
                                  std::pair{5.0, 5.0}, std::pair{-big, big}}) {
    EXPECT_LE(linear_ticks(low, high, 6).size(), 101u) << low << " " << high;
  }
  EXPECT_LE(log_ticks(1e-300, 1e300, 6).size(), 6u);
}

TEST(Ticks, AreWrittenForPeople) {
  EXPECT_EQ(tick_text(200'000, AxisFormat::kCount), "200 k");
  EXPECT_EQ(tick_text(2.5e9, AxisFormat::kCount), "2.5 B");
  EXPECT_EQ(tick_text(500, AxisFormat::kCount), "500");
  EXPECT_EQ(tick_text(1280, AxisFormat::kBytes), "1.25 KiB");
  EXPECT_EQ(tick_text(0.30000000000000004, AxisFormat::kNumber), "0.3");
}

TEST(LineChart, PutsPointsWhereTheyBelong) {
  // 400 x 200, no legend: y runs from 200 - 44 = 156 up to 26. The domain is 1 to 3 with 6 % of 2
  // on either side: 0.88 to 3.12. y(1) = 156 - 130 * 0.12 / 2.24 = 149.0; y(3) = 33.0.
  const std::string svg = line_chart_svg(small_chart(), {.width = 400, .height = 200});
  Markup(svg).require_well_formed();
  EXPECT_NE(svg.find(" 149)\""), std::string::npos) << svg;
  EXPECT_NE(svg.find(" 33)\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("viewBox=\"0 0 400 200\" role=\"img\" aria-label=\"t\"><title>t</title>"),
            std::string::npos);
}

TEST(LineChart, SkipsWhatIsNoNumberAndBreaksTheLine) {
  LineChart chart = small_chart();
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  chart.series[0].points = {{0, 1}, {1, 2}, {2, nan}, {3, 2}, {4, inf}, {nan, 1}, {5, 2}};
  chart.references = {{nan, "none", 1}};
  const std::string svg = line_chart_svg(chart, {});
  Markup(svg).require_well_formed();
  EXPECT_EQ(count(svg, "class=\"mark\""), 4u);
  const size_t path = svg.find(" d=\"M");
  EXPECT_EQ(count(svg.substr(path, svg.find('"', path + 5) - path), "M"), 3u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.find("inf"), std::string::npos);
}

TEST(LineChart, ALogarithmicAxisSkipsZero) {
  LineChart chart = small_chart();
  chart.log_x = chart.log_y = true;
  chart.series[0].points = {{0, 1}, {1, 0}, {1, 1}, {100, 10}};
  const std::string svg = line_chart_svg(chart, {});
  EXPECT_EQ(count(svg, "class=\"mark\""), 2u);
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

TEST(LineChart, LabelsOfReferenceLinesKeepApart) {
  LineChart chart = small_chart();
  chart.references = {{2.0, "a", 1}, {2.001, "b", 2}, {2.002, "c", 3}};
  const std::string svg = line_chart_svg(chart, {});
  std::vector<double> y;
  for (size_t at = 0; (at = svg.find("class=\"label\"", at)) != std::string::npos; ++at) {
    y.push_back(std::stod(svg.substr(svg.find(" y=\"", at) + 4)));
  }
  std::sort(y.begin(), y.end());
  ASSERT_EQ(y.size(), 3u);
  EXPECT_GE(y[1] - y[0], 15);
  EXPECT_GE(y[2] - y[1], 15);
}

TEST(LineChart, LabelsOfReferenceLinesHideNoMark) {
  LineChart chart = small_chart();  // from the left below to the right above
  chart.references = {{3.0, "before", 1}};
  EXPECT_NE(line_chart_svg(chart, {}).find("text-anchor=\"start\">before<"), std::string::npos)
      << "at the end stands a mark";
  chart.series[0].points = {{0, 3}, {10, 1}};
  EXPECT_NE(line_chart_svg(chart, {}).find("text-anchor=\"end\">before<"), std::string::npos);
}

// Eight names of 39 characters stand one below the other in 360: 8 * 20 + 2 = 162, 120 above the 42 that a chart has room for.
TEST(LineChart, GrowsWithItsLegend) {
  LineChart chart = small_chart();
  for (int i = 0; i < 7; ++i) {
    chart.series.push_back({.name = std::string(39, static_cast<char>('a' + i)), .points = {}});
  }
  chart.series[0].name = std::string(39, 'z');
  const std::string svg = line_chart_svg(chart, {.width = 360, .height = 320});
  EXPECT_NE(svg.find("viewBox=\"0 0 360 440\""), std::string::npos) << svg;
}

TEST(LineChart, LongNamesKeepTheirEnds) {
  LineChart chart = small_chart();
  const std::string name = "../models/of/a/deep/folder/tinystories-mha8, 8 KV heads";
  chart.series[0].name = name;
  chart.series.push_back({.name = name + ", roofline", .points = {}});
  const std::string svg = line_chart_svg(chart, {});
  EXPECT_NE(svg.find(">../models/of/…nystories-mha8, 8 KV heads<"), std::string::npos) << svg;
  EXPECT_NE(svg.find("-mha8, 8 KV heads, roofline<"), std::string::npos) << svg;
}

// 400 x 200 as above; low 0 and high 4 are the domain now: -0.24 to 4.24 in 130 units up from 156. y(2) = 156 - 130 * 2.24 / 4.48 = 91;
// y(0) = 149, y(4) = 33. x: the widest tick has one character (6.7 + 14 = 20.7), 20.7 to 386; 0 to 10 with 2 % of 10:
// -0.2 to 10.2; x(5) = 20.7 + 365.3 / 2 = 203.4.
TEST(LineChart, DrawsWhiskersWithinTheFrame) {
  LineChart chart = small_chart();
  chart.series[0].points = {{0, 2}, {5, 2, "", "", 0, 4}, {10, 2}};
  const std::string svg = line_chart_svg(chart, {.width = 400, .height = 200});
  Markup(svg).require_well_formed();
  EXPECT_NE(svg.find("<line class=\"line thin\" x1=\"203.4\" y1=\"149\" x2=\"203.4\" y2=\"33\"/>"),
            std::string::npos)
      << svg;
  EXPECT_EQ(count(svg, "class=\"line thin\""), 3u) << "the whisker and its ends";
  EXPECT_NE(svg.find("translate(203.4 91)"), std::string::npos);
}

/// What a label covers: 6.7 units a character, 11 above its line and 3 below.
struct Label {
  double left, top, right, bottom;
  Label(const std::string& svg, const std::string& text) {
    const size_t end = svg.find(">" + text + "<");
    const std::string tag = svg.substr(svg.rfind("<text", end), end - svg.rfind("<text", end));
    const double x = std::stod(tag.substr(tag.find(" x=\"") + 4));
    const double y = std::stod(tag.substr(tag.find(" y=\"") + 4));
    const double width = 6.7 * static_cast<double>(text.size());
    const bool ends = tag.find("\"end\"") != std::string::npos;
    const bool middle = tag.find("\"middle\"") != std::string::npos;
    left = middle ? x - width / 2 : ends ? x - width : x;
    right = left + width;
    top = y - 11;
    bottom = y + 3;
  }
  bool meets(const Label& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

TEST(LineChart, LabelsStayInsideAndApart) {
  LineChart chart = small_chart();
  chart.series[0].points = {
      {0, 3, "", "left"}, {5, 2, "", "a"}, {5.01, 2, "", "b"}, {10, 1, "", "right"}};
  const std::vector<std::string> texts = {"left", "a", "b", "right"};
  for (const double width : {360.0, 960.0}) {
    const std::string svg = line_chart_svg(chart, {.width = width, .height = 320});
    Markup(svg).require_well_formed();
    EXPECT_EQ(count(svg, "class=\"value\""), 4u);
    for (size_t i = 0; i < texts.size(); ++i) {
      const Label label(svg, texts[i]);
      EXPECT_GE(label.left, 0) << texts[i];
      EXPECT_LE(label.right, width) << texts[i];
      EXPECT_GE(label.top, 0) << texts[i];
      EXPECT_LE(label.bottom, 320 - 44) << texts[i] << " above the axis";
      for (size_t k = 0; k < i; ++k) {
        EXPECT_FALSE(label.meets(Label(svg, texts[k]))) << texts[i] << " on " << texts[k];
      }
    }
  }
  // Where all is free a label stands above to the right: 8 to the right of its marker, 7 above.
  chart.series[0].points = {{0, 1}, {5, 2, "", "free"}, {10, 3}};
  chart.series[0].line = false;
  const std::string svg = line_chart_svg(chart, {.width = 400, .height = 200});
  EXPECT_NE(svg.find("translate(203.4 91)"), std::string::npos) << svg;
  EXPECT_NE(svg.find("x=\"211.4\" y=\"84\" text-anchor=\"start\">free<"), std::string::npos) << svg;
}

TEST(LineChart, WithoutPointsOrWithOneIsStillAPicture) {
  LineChart chart = small_chart();
  chart.series[0].points = {{5, 2}};
  Markup(line_chart_svg(chart, {})).require_well_formed();
  chart.series.clear();
  Markup(line_chart_svg(chart, {})).require_well_formed();
}

TEST(LineChart, EscapesEveryText) {
  const std::string evil = "</svg><script>\"'&";
  LineChart chart{.title = evil, .x_label = evil, .y_label = evil};
  chart.series = {{.name = evil, .marker = Marker::kSquare, .points = {{0, 1, evil}, {1, 2, evil}}},
                  {.name = evil, .points = {{0, 1}}}};
  chart.references = {{1, evil, 1}};
  const std::string svg = line_chart_svg(chart, {});
  Markup(svg).require_well_formed();
  EXPECT_EQ(svg.find("<script"), std::string::npos);
}

TEST(BarChart, LengthsAreInProportion) {
  BarChart chart{.title = "t",
                 .legend = {{"a", 1}, {"b", 2}},
                 .bars = {{"l", "v", {{1, 1}, {3, 2}}}, {"l", "v", {{2, 1}}}},
                 .limit = 0,
                 .limit_label = {}};
  const std::string svg = bar_chart_svg(chart, 400);
  Markup(svg).require_well_formed();
  std::vector<double> widths;
  for (size_t at = svg.find("height=\"18\""); at != std::string::npos;
       at = svg.find("height=\"18\"", at + 1)) {
    widths.push_back(std::stod(svg.substr(svg.rfind("width=\"", at) + 7)));
  }
  ASSERT_EQ(widths.size(), 3u);
  EXPECT_NEAR(widths[1], 3 * widths[0], 0.2);  // coordinates are rounded to a tenth
  EXPECT_NEAR(widths[2], 2 * widths[0], 0.2);
}

TEST(BarChart, TheLimitStrikesNoNumberThrough) {
  BarChart chart{.title = "t", .legend = {}, .bars = {{"a", "5 GiB", {{5, 1}}}}};
  chart.limit = 6;
  chart.limit_label = "limit";
  const std::string svg = bar_chart_svg(chart, 360);
  EXPECT_LT(svg.find("class=\"limit\""), svg.find(">5 GiB<")) << "what comes later lies on top";
}

TEST(BarChart, NothingToShowDividesByNothing) {
  const BarChart chart{.title = "t",
                       .legend = {},
                       .bars = {{"l", "0", {{0, 1}, {std::nan(""), 1}}}},
                       .limit = 0,
                       .limit_label = {}};
  const std::string svg = bar_chart_svg(chart, 400);
  Markup(svg).require_well_formed();
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace regroup
