// What a sweep found, in all four forms of the report.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "markup.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// A point of results/sweep.json; `more` are further members.
std::string point(int heads, const char* role, double loss, double error, const std::string& more) {
  return fmt::format(
      R"({{"n_kv_heads": {0}, "role": "{1}", "kv_bytes_per_token": {2},
 "mean_loss_increase": {{"value": {3}, "stderr": {4}}},
 "loss_increase": [{{"text": "valid", "value": {3}, "stderr": {4}, "kl": 0.25, "kl_stderr": 0.01}}]{5}}})",
      heads, role, 320 * heads, loss, error, more);
}

std::string served(double cost, double ttft) {
  return fmt::format(
      R"(, "traffic": {{"concurrency": {{"mean": 17.25}}, "ttft_s": {{"p99": {}}}, "tokens_per_s": 1234,
 "device_hours_per_million_tokens": 0.5, "cost_per_million_tokens": {}}})",
      ttft, cost);
}

/// piqa's accuracy against a tolerance of one point.
std::string lost(double points, double low, double high) {
  return fmt::format(
      R"(, "within": {}, "tolerances": [{{"kind": "task", "name": "piqa", "metric": "acc", "unit": "points",
 "limit": 1, "lost": {}, "stderr": 0.4, "ci95": [{}, {}], "excess": {}, "within": {}}}])",
      high < 1, points, low, high, high - 1, high < 1);
}

std::string sweep(const std::string& points, const std::string& more = {}) {
  return R"({"format": "regroup sweep/1", "points": [)" + points + "]" + more + "}";
}

std::string full_sweep() {
  return sweep(point(8, "baseline", 0, 0, served(3, 9)) + "," +
                   point(4, "converted", 0.1, 0.01, served(2, 0.5) + lost(0.25, -0.5, 0.75)) + "," +
                   point(2, "converted", 0.5, 0.02, served(2.5, 0.25) + lost(3, 2, 4)),
               R"(, "fronts": {"cache": [8, 4, 2], "cost": [8, 4]}, "cost_unit": "price",
 "trace": {"name": "day.csv"}, "chosen": 4, "findings": ["4 KV heads: the fewest", "a bound"],
 "tolerances": [{"kind": "loss", "limit": 0.2, "unit": "nats a token"},
                {"kind": "task", "name": "piqa", "metric": "acc", "limit": 1, "unit": "points"}])");
}

size_t count_of(const std::string& text, const std::string& what) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += what.size()) ++n;
  return n;
}

TEST(ReportSweep, DrawsLossAgainstCacheAndAgainstCost) {
  const std::string html = report_html(Files().add("sweep.json", full_sweep()).gather());
  for (const char* text :
       {"How many KV heads are enough", "Loss against the KV cache", "Cost of 1 M tokens",
        "Loss against the cost of the traffic", "4 KV heads: the fewest.", "A bound.",
        "G = 4, chosen", ">G = 2<", "tolerance 0.2", "beaten by another", "on the Pareto front",
        "the trace day.csv"}) {
    EXPECT_TRUE(contains(html, text)) << text;
  }
  EXPECT_EQ(html.find("<script"), std::string::npos);
  // Two figures, each for wide and for narrow pages.
  EXPECT_EQ(count_of(html, "<svg"), 4U);
  for (size_t at = 0; (at = html.find("<svg", at)) != std::string::npos; ++at) {
    Markup(html.substr(at, html.find("</svg>", at) + 6 - at)).require_well_formed();
  }
  // A whisker and its two ends for each point with an interval, in all four.
  EXPECT_EQ(count_of(html, "class=\"line thin\""), 4U * 2 * 3);
}

// Idle devices cost the same whatever the heads: a chart of rounding errors would say nothing.
TEST(ReportSweep, EqualCostsAreNotDrawn) {
  const auto costing = [](double most) {
    return report_html(
        Files()
            .add("sweep.json", sweep(point(8, "baseline", 0, 0, served(most, 1)) + "," +
                                     point(4, "converted", 0.1, 0.01, served(2, 1))))
            .gather());
  };
  EXPECT_EQ(count_of(costing(2.03), "<svg"), 2U) << "the cache alone";
  EXPECT_EQ(count_of(costing(2.05), "<svg"), 4U);
}

TEST(ReportSweep, MarkdownHasTheNumbers) {
  const std::string text = report_markdown(Files().add("sweep.json", full_sweep()).gather());
  // 0.1 -+ 1.96 * 0.01 and 0.5 -+ 1.96 * 0.02.
  EXPECT_TRUE(contains(text, "| 4 | 1.25 KiB | 0.100 ± 0.010 | 0.0804 to 0.1196 | yes |")) << text;
  EXPECT_TRUE(contains(text, "| 2 | 2.5 | 0.500 ± 0.020 | 0.4608 to 0.5392 | no |")) << text;
  EXPECT_TRUE(contains(text, "- tolerance 0.2")) << text;
  EXPECT_TRUE(contains(text,
                       "| 4 | converted | 1.25 KiB | 0.100 ± 0.010 | 0.250 ± 0.010 | yes | 17.2 | "
                       "500 ms | 1234 | 2 |"))
      << text;
  EXPECT_TRUE(contains(text, "| 2 | piqa, acc (points) | 3.00 ± 0.40 | 2 to 4 | 1 | 3 |")) << text;
  EXPECT_TRUE(
      contains(text, "| 4 | piqa, acc (points) | 0.25 ± 0.40 | -0.5 to 0.75 | 1 | within |"))
      << text;
}

TEST(ReportSweep, JsonAndCsvHaveTheSame) {
  const ReportData data = Files().add("sweep.json", full_sweep()).gather();
  const Json json = Json::parse(report_json(data)).at("sweeps").at(0);
  const Json& two = json["points"][2];
  EXPECT_EQ(two["mean_loss_increase"]["value"], 0.5);
  EXPECT_EQ(two["tolerances"][0]["ci95"], Json({2.0, 4.0}));
  EXPECT_EQ(two["tolerances"][0]["excess"], 3.0);
  EXPECT_EQ(two["traffic"]["cost"], 2.5);
  EXPECT_EQ(two["cost_front"], false);
  EXPECT_EQ(two["losses"][0]["kl"]["value"], 0.25);
  EXPECT_EQ(json["chosen"], 4);
  EXPECT_EQ(json["trace"], "day.csv");
  const std::string csv = report_csv(data);
  for (const char* line :
       {"sweep,,converted,2,mean_loss_increase,640,0.5,0.02,",
        "sweep,,converted,2,valid:kl,640,0.25,0.01,", "sweep,,converted,2,piqa:acc_lost,640,3,0.4,",
        "sweep,,converted,2,piqa:acc_lost_upper,640,4,,",
        "sweep,,converted,2,piqa:acc_excess,640,3,,",
        "sweep,,baseline,8,cost_per_million_tokens,2560,3,,",
        "sweep,,baseline,8,ttft_s_p99,2560,9,,"}) {
    EXPECT_TRUE(contains(csv, line)) << line << "\n" << csv;
  }
}

TEST(ReportSweep, WithoutTrafficAndTolerancesThereIsOneFigure) {
  const std::string html = report_html(
      Files()
          .add("sweep.json", sweep(point(8, "baseline", 0, 0, "") + "," +
                                       point(4, "converted", 0.1, 0.01, R"(, "traffic": null)"),
                                   R"(, "fronts": {"cache": [8, 4]})"))
          .gather());
  EXPECT_EQ(count_of(html, "<svg"), 2U);
  EXPECT_FALSE(contains(html, "Requests at once"));
  EXPECT_FALSE(contains(html, "Within the tolerances"));
}

TEST(ReportSweep, AnEmptyOrStrangeFileIsCivil) {
  EXPECT_TRUE(contains(report_html(Files().add("s.json", sweep("")).gather()), "regroup report"));
  EXPECT_TRUE(contains(
      report_html(Files().add("s.json", sweep(R"({"loss_increase": []})")).gather()), "<svg"));
  const ErrorInfo error = expect_error<CheckpointError>("CFG_TYPE", [] {
    Files()
        .add("s.json",
             sweep(point(4, "converted", 0.1, 0.01, R"(, "tolerances": [{"ci95": [1]}])")))
        .gather();
  });
  EXPECT_TRUE(contains(error.message, "\"ci95\" must hold two numbers"));
  expect_error<CheckpointError>("CFG_TYPE", [] { Files().add("s.json", sweep("3")).gather(); });
  const std::string evil = report_html(Files()
                                           .add("s.json", sweep(point(4, "<script>", 0.1, 0.01, ""),
                                                                R"(, "findings": ["<script>"])"))
                                           .gather());
  EXPECT_FALSE(contains(evil, "<script"));
}

}  // namespace
}  // namespace regroup::testing
