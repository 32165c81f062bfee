// Charts of tasks: scores of models joined, differences beside the margin, and pages of many tasks.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "markup.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// A model that was asked `tasks`: {name: [acc, difference from the baseline]}.
std::string asked(const std::string& role, int64_t heads, const nlohmann::json& tasks,
                  const std::string& metric = "acc") {
  nlohmann::json json = nlohmann::json::parse(model_json(role, heads, 2, ""));
  for (const auto& [name, numbers] : tasks.items()) {
    json["results"][name] = {
        {"alias", name}, {metric + ",none", numbers[0]}, {metric + "_stderr,none", 0.02}};
    json["configs"][name] = {{"output_type", "multiple_choice"}};
    json["n-shot"][name] = 0;
    json["n-samples"][name]["effective"] = 400;
    json["higher_is_better"][name][metric] = true;
    if (role == "baseline") continue;
    const double delta = numbers[1];
    json["regroup"]["paired"][name][metric] = {{"delta", delta},
                                               {"delta_stderr", 0.01},
                                               {"ci95", {delta - 0.02, delta + 0.02}},
                                               {"p_holm", 0.5},
                                               {"margin", 0.01}};
  }
  return json.dump();
}

size_t count(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

std::string page(const std::vector<std::string>& all) {
  return report_html(Files().add("eval.json", models(all)).gather());
}

/// The wide one of the charts with this title.
std::string chart_of(const std::string& html, const std::string& title) {
  const size_t at = html.find("aria-label=\"" + title + "\"");
  if (at == std::string::npos) return "";
  const size_t begin = html.rfind("<svg", at);
  return html.substr(begin, html.find("</svg>", at) + 6 - begin);
}

TEST(TaskCharts, JoinBaselineConvertedAndUptrained) {
  const std::string html = page({asked("baseline", 8, {{"piqa", {0.8, 0}}}),
                                 asked("converted", 4, {{"piqa", {0.5, -0.3}}}),
                                 asked("uptrained", 4, {{"piqa", {0.75, -0.05}}})});
  const std::string chart = chart_of(html, "Scores of tasks: acc");
  Markup(chart).require_well_formed();
  EXPECT_TRUE(contains(chart, "before, piqa, 0-shot: 0.8 (0.7608 to 0.8392)</title>")) << chart;
  EXPECT_TRUE(contains(chart, "converted, piqa, 0-shot: 0.5 (0.4608 to 0.5392)</title>"));
  EXPECT_TRUE(contains(chart, "uptrained, piqa, 0-shot: 0.75 (0.7108 to 0.7892)</title>"));
  EXPECT_TRUE(contains(chart, "role=\"img\""));
  EXPECT_TRUE(contains(chart, ">acc, higher is better</text>"));
  EXPECT_EQ(count(chart, "class=\"line thin\" x1"), 3u) << "whiskers";
  EXPECT_EQ(count(chart, "class=\"line thin\" d=\"M"), 1u) << "what joins them";
  EXPECT_TRUE(contains(chart, ">piqa, 0-shot</text>")) << "one chain needs no name";
}

TEST(TaskCharts, EveryNumberOfHeadsHasItsRow) {
  const std::string html = page({asked("baseline", 8, {{"piqa", {0.8, 0}}}),
                                 asked("converted", 4, {{"piqa", {0.7, -0.1}}}),
                                 asked("converted", 2, {{"piqa", {0.5, -0.3}}}),
                                 asked("uptrained", 2, {{"piqa", {0.6, -0.2}}})});
  const std::string chart = chart_of(html, "Scores of tasks: acc");
  EXPECT_TRUE(contains(chart, ">piqa, 0-shot · 4 KV heads</text>")) << chart;
  EXPECT_TRUE(contains(chart, ">piqa, 0-shot · 2 KV heads</text>"));
  EXPECT_EQ(count(chart, "class=\"line thin\" x1"), 2 + 3u);
}

TEST(TaskCharts, DifferencesStandBesideTheMargin) {
  const std::string html =
      page({asked("baseline", 8, {{"piqa", {0.8, 0}}, {"boolq", {0.7, 0}}}),
            asked("converted", 4, {{"piqa", {0.5, -0.3}}, {"boolq", {0.7, 0.0}}})});
  const std::string chart = chart_of(html, "Against the baseline: acc");
  Markup(chart).require_well_formed();
  EXPECT_TRUE(contains(chart, "converted, piqa, 0-shot: -0.3 (-0.32 to -0.28)</title>")) << chart;
  EXPECT_TRUE(contains(chart, ">−0.01: the margin</text>"));
  EXPECT_TRUE(contains(chart, ">no difference</text>"));
  EXPECT_EQ(count(chart, "class=\"limit\""), 2u);
  EXPECT_EQ(count(chart, "class=\"mark\""), 2u) << "and no legend of one series";
}

TEST(TaskCharts, ModelsOfTheHarnessAreToldApartByName) {
  const auto harness = [](const std::string& model, double acc) {
    return fmt::format(
        R"({{"results": {{"piqa": {{"acc,none": {}, "acc_stderr,none": "N/A"}}}}, "versions": {{"piqa": 1}},
      "n-shot": {{"piqa": 0}}, "model_name": "{}"}})",
        acc, model);
  };
  const std::string html = report_html(Files()
                                           .add("a.json", harness("org/parent", 0.5))
                                           .add("b.json", harness("org/g2", 0.25))
                                           .gather());
  const std::string chart = chart_of(html, "Scores of tasks: acc");
  EXPECT_TRUE(contains(chart, "org/parent, piqa, 0-shot: 0.5</title>")) << html;
  EXPECT_TRUE(contains(chart, "org/g2, piqa, 0-shot: 0.25</title>"));
  EXPECT_EQ(count(chart, "class=\"line thin\" x1"), 0u) << "no error, no whisker";
  const std::string alone = report_html(Files().add("a.json", harness("org/parent", 0.5)).gather());
  EXPECT_EQ(chart_of(alone, "Scores of tasks: acc"), "") << "one model is compared with nothing";
}

// Perplexities of 3 and 900 need a logarithm, shares of 0.01 and 0.9 do not.
TEST(TaskCharts, ScoresFarApartHaveALogarithmicAxis) {
  const auto chart = [](const std::string& metric, double a, double b) {
    return chart_of(page({asked("baseline", 8, {{"x", {a, 0}}, {"y", {b, 0}}}, metric),
                          asked("converted", 4, {{"x", {a, 0}}, {"y", {b, 0}}}, metric)}),
                    "Scores of tasks: " + metric);
  };
  EXPECT_TRUE(contains(chart("word_perplexity", 3, 900), "(logarithmic)"));
  EXPECT_FALSE(contains(chart("acc", 0.01, 0.9), "(logarithmic)"));
}

TEST(TaskCharts, TwoHundredTasksMakeASmallPage) {
  nlohmann::json tasks;
  for (int i = 0; i < 200; ++i) {
    tasks[fmt::format("a_task_of_some_length_{:03}", i)] = {0.3 + 0.001 * i, -0.001 * i};
  }
  std::vector<std::string> all;
  for (const auto& [role, heads] : {std::pair{"baseline", 8}, std::pair{"converted", 4},
                                    std::pair{"uptrained", 4}, std::pair{"converted", 2}}) {
    nlohmann::json model = nlohmann::json::parse(asked(role, heads, tasks));
    for (const auto& [name, numbers] : tasks.items()) {  // a second metric beside the first
      nlohmann::json& result = model["results"][name];
      result["acc_norm,none"] = result["acc,none"];
      result["acc_norm_stderr,none"] = 0.02;
    }
    all.push_back(model.dump());
  }
  const std::string html = page(all);
  EXPECT_LT(html.size(), 2u << 20);
  EXPECT_GT(html.size(), 400u << 10);
  EXPECT_TRUE(contains(html, "Of 400 rows the 60 that differ most; the table has all."));
  const std::string chart = chart_of(html, "Against the baseline: acc");
  EXPECT_TRUE(contains(chart, "a_task_of_some_length_199")) << "the largest difference";
  EXPECT_FALSE(contains(chart, "a_task_of_some_length_010"));
}

}  // namespace
}  // namespace regroup::testing
