// Results of lm-evaluation-harness are rows of the report.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// As lm-evaluation-harness 0.4 writes results_*.json, shortened.
std::string harness(const std::string& model, double acc) {
  return fmt::format(R"({{
 "results": {{
  "arc_easy": {{"alias": "arc_easy", "sample_len": 2376, "acc,none": {}, "acc_stderr,none": 0.01,
               "acc_norm,none": 0.39, "acc_norm_stderr,none": 0.012}},
  "gsm8k": {{"alias": "gsm8k", "exact_match,strict-match": 0.015, "exact_match_stderr,strict-match": 0.003,
            "exact_match,flexible-extract": 0.02, "exact_match_stderr,flexible-extract": "N/A"}},
  "wikitext": {{"alias": "wikitext", "word_perplexity,none": 21.5, "word_perplexity_stderr,none": "N/A",
               "bits_per_byte,none": 0.827, "bits_per_byte_stderr,none": "N/A"}},
  "mmlu": {{"alias": "mmlu", "acc,none": 0.25, "acc_stderr,none": 0.004}}}},
 "groups": {{"mmlu": {{"alias": "mmlu", "acc,none": 0.25, "acc_stderr,none": 0.004}},
            "only_here": {{"acc,none": 0.75}}}},
 "group_subtasks": {{"mmlu": ["mmlu_anatomy"]}},
 "configs": {{"arc_easy": {{"task": "arc_easy"}}}}, "versions": {{"arc_easy": 1.0}},
 "n-shot": {{"arc_easy": 0, "gsm8k": 5}},
 "higher_is_better": {{"arc_easy": {{"acc": true}}, "wikitext": {{"word_perplexity": false}}}},
 "n-samples": {{"arc_easy": {{"original": 2376, "effective": 200}}}},
 "config": {{"model": "hf", "model_args": "pretrained={},dtype=float32"}}, "date": 1.7e9{}}})",
                     acc, model,
                     model.empty() ? "" : fmt::format(R"(, "model_name": "{}")", model));
}

TEST(Tasks, EveryScoreIsARowWithItsError) {
  const std::string markdown =
      report_markdown(Files().add("results_1.json", harness("out/g2", 0.4)).gather());
  EXPECT_TRUE(contains(markdown,
                       "| Task | Metric | Items | out/g2 |\n"
                       "|---|---|---:|---:|\n"
                       "| arc\\_easy, 0-shot | acc ↑ | 200 | 0.400 ± 0.010 |\n"
                       "| arc\\_easy, 0-shot | acc\\_norm | 200 | 0.390 ± 0.012 |\n"
                       "| gsm8k, 5-shot | exact\\_match (strict-match) | – | 0.0150 ± 0.0030 |\n"
                       "| gsm8k, 5-shot | exact\\_match (flexible-extract) | – | 0.02 |\n"
                       "| wikitext | word\\_perplexity ↓ | – | 21.5 |\n"
                       "| wikitext | bits\\_per\\_byte | – | 0.827 |\n"
                       "| mmlu | acc | – | 0.2500 ± 0.0040 |\n"
                       "| only\\_here | acc | – | 0.75 |\n"));
}

TEST(Tasks, ModelsStandSideBySide) {
  const ReportData data =
      Files()
          .add("a.json", harness("parent", 0.5))
          .add("b.json", harness("out/g2", 0.4))
          .add("old.json", R"({"results": {"piqa": {"acc": 0.6, "acc_stderr": 0.02}},
                                   "versions": {"piqa": 0}, "config": {"model_args": "pretrained=out/g2"}})")
          .gather();
  const std::string markdown = report_markdown(data);
  EXPECT_TRUE(contains(markdown, "| Task | Metric | Items | parent | out/g2 |\n"));
  EXPECT_TRUE(
      contains(markdown, "| arc\\_easy, 0-shot | acc ↑ | 200 | 0.500 ± 0.010 | 0.400 ± 0.010 |\n"));
  EXPECT_TRUE(contains(markdown, "| piqa | acc | – | – | 0.600 ± 0.020 |\n"));
  EXPECT_TRUE(contains(report_csv(data), "tasks,out/g2,,0,\"arc_easy:acc,none\",0,0.4,0.01,200\n"));
  const auto json = nlohmann::json::parse(report_json(data));
  EXPECT_EQ(json["tasks"].size(), 2 * 8u + 1);
  EXPECT_EQ(json["tasks"][0]["value"], 0.5);
  EXPECT_EQ(json["sources"][0]["kind"], "lm-evaluation-harness");
}

TEST(Tasks, AModelOfEvalIsKnownAgain) {
  const ReportData data = full().add("lm.json", harness("converted-4", 0.4)).gather();
  EXPECT_TRUE(contains(report_markdown(data), "| converted, 4 KV heads |\n"));
  EXPECT_TRUE(contains(report_html(data), "converted, 4 KV heads"));
}

TEST(Tasks, TwoOutcomesOfOneModelAreBothShown) {
  const ReportData data =
      Files().add("first.json", harness("m", 0.5)).add("second.json", harness("m", 0.25)).gather();
  EXPECT_TRUE(contains(report_markdown(data), "| Task | Metric | Items | m | m (second) |\n"));
}

TEST(Tasks, WithoutAModelNameTheFileNamesIt) {
  const ReportData data = Files().add("results_7.json", harness("", 0.5)).gather();
  EXPECT_EQ(data.task_scores.at(0).model, "results_7");
}

TEST(Tasks, WhatPythonWritesForNoNumberIsSaidToBeNone) {
  const ReportData data =
      Files()
          .add(
              "a.json",
              R"({"results": {"x \"NaN": {"a": 0.5, "a_stderr": NaN, "b": -Infinity, "c": Infinity}},
                           "versions": {}})")
          .gather();
  ASSERT_EQ(data.task_scores.size(), 3u);
  EXPECT_EQ(data.task_scores[0].on.task, "x \"NaN");
  EXPECT_EQ(data.task_scores[0].value.value, 0.5);
  EXPECT_FALSE(data.task_scores[0].value.error.has_value());
  EXPECT_TRUE(contains(report_markdown(data), "| x \"NaN | b | – | no number |\n"));
  EXPECT_TRUE(contains(report_csv(data), "b,none\",,,,0\n")) << report_csv(data);
  EXPECT_TRUE(nlohmann::json::parse(report_json(data))["tasks"][1]["value"].is_null());
}

TEST(Tasks, WithoutAScoreTheyAreRefused) {
  Files files;
  files.add("a.json", R"({"results": {"x": {"alias": "x", "acc,none": "N/A"}}, "versions": {}})");
  EXPECT_TRUE(contains(expect_error<ConfigError>("REPORT_INPUT", [&] { files.gather(); }).message,
                       "holds tasks without a single score"));
}

}  // namespace
}  // namespace regroup::testing
