// What looking at whole pages showed: tables that no page is wide enough for, names that cannot be told apart, empty space.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "markup.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// Scores of models m0, m1 ... on piqa; the last was asked arc alone.
Files harness_of(int n) {
  Files files;
  for (int i = 0; i < n; ++i) {
    const nlohmann::json json = {
        {"results", {{i == n - 1 ? "arc" : "piqa", {{"acc,none", 0.5}, {"acc_stderr,none", 0.1}}}}},
        {"configs", nlohmann::json::object()},
        {"model_name", fmt::format("m{}", i)}};
    files.add(fmt::format("r{}.json", i), json.dump());
  }
  return files;
}

TEST(TasksOfManyModels, StandInTablesOfFive) {
  const std::string five = report_markdown(harness_of(5).gather());
  EXPECT_TRUE(contains(five, "| Task | Metric | Items | m0 | m1 | m2 | m3 | m4 |\n"));
  EXPECT_FALSE(contains(five, "tables")) << five;
  const std::string six = report_markdown(harness_of(6).gather());
  EXPECT_TRUE(contains(six, "standard errors: 1 of 2 tables"));
  EXPECT_TRUE(contains(six, "| Task | Metric | Items | m0 | m1 | m2 | m3 | m4 |\n"));
  EXPECT_TRUE(contains(six, "| Task | Metric | Items | m0 | m5 |\n")) << "the first is in both";
  EXPECT_TRUE(contains(six, "|---|---|---:|---:|---:|\n| arc | acc | – | – | 0.50 ± 0.10 |\n\n"))
      << "no row without a score of this table's models: " << six;
}

TEST(TasksOfManyModels, HaveCellsOfFewBytes) {
  const std::string html = report_html(harness_of(6).gather());
  EXPECT_TRUE(contains(html, "<td data-label=\"Metric\">acc</td>"));
}

/// A model that was asked 200 tasks and compared in each.
std::string asked_much(const std::string& role, int64_t heads, bool compared) {
  nlohmann::json json = nlohmann::json::parse(model_json(role, heads, 2, ""));
  for (int i = 0; i < 200; ++i) {
    const std::string name = fmt::format("task_number_{}", i);
    json["results"][name] = {{"alias", name}, {"acc,none", 0.5}, {"acc_stderr,none", 0.02}};
    json["configs"][name] = {{"output_type", "multiple_choice"}};
    json["n-samples"][name]["effective"] = 400;
    json["higher_is_better"][name]["acc"] = true;
    if (!compared) continue;
    json["regroup"]["paired"][name]["acc"] = {{"delta", -0.1},     {"delta_stderr", 0.01},
                                              {"ci95", {-0.2, 0}}, {"p_holm", 0.5},
                                              {"margin", 0.01},    {"items_needed", 1234}};
  }
  return json.dump();
}

TEST(TasksOfManyModels, OfTwoHundredTasksMakeLessThanTwoMegabytes) {
  std::vector<std::string> all = {asked_much("baseline", 8, false)};
  for (const int64_t heads : {4, 2, 1}) {
    all.push_back(asked_much("converted", heads, true));
    all.push_back(asked_much("uptrained", heads, true));
  }
  all.push_back(asked_much("uptrained", 8, true));
  EXPECT_LT(report_html(Files().add("e.json", models(all)).gather()).size(), 2'000'000u);
}

TEST(Samples, LineBreaksFillNoPage) {
  const std::string json =
      nlohmann::json(
          {{"samples",
            {{{"prompt", "Once"},
              {"continuations",
               {{{"role", "baseline"}, {"n_kv_heads", 8}, {"text", "a\n\nb"}},
                {{"role", "converted"}, {"n_kv_heads", 1}, {"text", "\n\n\n\nc\n\n\n"}}}}}}}})
          .dump();
  const std::string html = report_html(Files().add("s.json", json).gather());
  EXPECT_TRUE(contains(html, "<p>a\n\nb</p>")) << "a paragraph's end stays";
  EXPECT_TRUE(contains(html, "<p>[4 line breaks]\nc\n[3 line breaks]</p>"));
}

TEST(Tiles, HaveTheirErrorsAndWhatTheyWereMeasuredOn) {
  const std::string more = R"(, "kl,none": 0.5364, "kl_stderr,none": 0.0121,
 "top1_agreement,none": 0.6258, "top1_agreement_stderr,none": 0.0053)";
  const std::string html = report_html(
      Files()
          .add("e.json", models({kBaseline, kConverted, model_json("uptrained", 4, 1.51, more)}))
          .gather());
  EXPECT_TRUE(contains(html, ">0.536</dd><dd class=\"note\">nats a token, ± 0.012</dd>"));
  EXPECT_TRUE(contains(html, ">62.6 %</dd><dd class=\"note\">as the original, ± 0.5</dd>"));
  EXPECT_TRUE(contains(html, "Measured on 19,999 tokens of valid; ± is one standard error."));
}

TEST(Verdict, KeepsUnitsWithTheirNumbers) {
  const std::string html = report_html(full().gather());
  EXPECT_TRUE(contains(html, "1.25\u00A0KiB instead of 2.5\u00A0KiB")) << html;
  EXPECT_TRUE(contains(html, "93.1\u00A0%\u00A0± 0.6") || contains(html, "93.1\u00A0% ± 0.6"));
}

/// A plan of 4 or 2 KV heads; `bytes` is the cache of the first.
std::string plan_of(int64_t bytes) {
  return fmt::format(R"({{"model": {{"architecture": "Llama", "n_kv_heads": 4}}, "context": 1024,
 "batch": 2, "gpu_memory_bytes": 4294967296, "kv_dtype": "bf16", "options": [
 {{"n_kv_heads": 4, "kv_bytes_per_token": 524288, "kv_bytes": {}, "weight_bytes": 10, "total_bytes": 20}},
 {{"n_kv_heads": 2, "kv_bytes_per_token": 262144, "kv_bytes": 536870912, "weight_bytes": 10,
   "total_bytes": 20}}]}})",
                     bytes);
}

// 524,288 bytes * 1,024 tokens * 2 sequences are 1 GiB; four times the context take four times as much.
TEST(CacheByContext, IsDrawnWhereEveryTokenTakesAsMuch) {
  const std::string html = report_html(Files().add("p.json", plan_of(1073741824)).gather());
  EXPECT_TRUE(contains(html, "aria-label=\"KV cache by context\""));
  EXPECT_TRUE(contains(html, "<title>4 KV heads: 1 GiB at 1,024 tokens</title>"));
  EXPECT_TRUE(contains(html, "<title>2 KV heads: 2 GiB at 4,096 tokens</title>"));
  EXPECT_TRUE(contains(html, "KV cache (GiB, logarithmic)"));
  EXPECT_TRUE(contains(html, ">4 GiB available, weights too</text>"));
  const std::string windows = report_html(Files().add("p.json", plan_of(900000000)).gather());
  EXPECT_FALSE(contains(windows, "KV cache by context")) << "a window's cache does not grow";
}

TEST(Positions, SayOnHowManyTokens) {
  const std::string damage = R"("damage": {"valid": {"positions": [
 {"first": 0, "end": 1, "tokens": 79, "loss_delta": 0.1, "kl": 0.1, "top1_agreement": 0.5},
 {"first": 1, "end": 16, "tokens": 1185, "loss_delta": 0.2, "kl": 0.1, "top1_agreement": 0.5}],
 "worst_windows": [], "windows": 79, "collapsed_windows": 0}}, )";
  std::string converted = kConverted;
  converted.insert(converted.rfind("\"digest\""), damage);
  const std::string markdown =
      report_markdown(Files().add("e.json", models({kBaseline, converted})).gather());
  EXPECT_TRUE(contains(markdown, "| Position 0 | Position 1"));
  EXPECT_TRUE(contains(markdown, "| tokens scored | 79 | 1,185 | 79 windows |"));
}

TEST(Pareto, HasItsTokensAndIntervals) {
  const std::string html = report_html(
      Files()
          .add("e.json", models({kBaseline, kConverted, model_json("converted", 2, 4, "")}))
          .gather());
  EXPECT_TRUE(contains(html,
                       "Quality against memory, on 19,999 tokens of valid, with 95 % "
                       "intervals"));
}

TEST(PrintedPage, KeepsCaptionsWithTheirRows) {
  const std::string html = report_html(full().gather());
  const std::string print = html.substr(html.find("@media print"));
  EXPECT_TRUE(contains(print, "caption,thead,.prompt"));
  EXPECT_TRUE(contains(print, "tbody tr:first-child"));
  EXPECT_TRUE(contains(print, "td.n{min-width:4.8em}")) << "± and its number are one line";
}

}  // namespace
}  // namespace regroup::testing
