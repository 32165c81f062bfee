// Tasks and probes that eval measured: against the baseline, and by length and depth.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// What eval writes for a model that was asked a task and a probe beside a text.
std::string asked(const std::string& role, double acc, const std::string& compared, double recalled,
                  const std::string& retrieval) {
  return fmt::format(R"({{"results": {{
    "valid": {{"alias": "valid", "loss,none": 2.0, "tokens": 999, "loss_delta,none": 0.25}},
    "mine": {{"alias": "mine", "sample_len": 400, "acc,none": {}, "acc_stderr,none": 0.02}},
    "passkey": {{"alias": "passkey", "sample_len": 20, "log_prob,none": -1.0, "acc,none": {},
      "cells": [{{"length": 256, "depth": 0.5, "trials": 10, "log_prob": -0.5, "log_prob_stderr": 0.1,
                  "acc": {}, "acc_stderr": 0.1}},
                {{"length": 512, "depth": 1, "trials": 10, "log_prob": -2.5, "log_prob_stderr": 0.1,
                  "acc": 0.25, "acc_stderr": 0.1}}]}}}},
   "configs": {{"valid": {{"output_type": "text_loss", "seq_len": 256}},
     "mine": {{"output_type": "multiple_choice"}}, "passkey": {{"output_type": "probe", "axis": ""}}}},
   "n-shot": {{"mine": 0, "passkey": 0}}, "n-samples": {{"mine": {{"effective": 400}}}},
   "higher_is_better": {{"mine": {{"acc": true}}}}, "config": {{"model_dtype": "f32"}},
   "model_name": "{}", "regroup": {{"role": "{}", "n_kv_heads": 4, "n_heads": 8, "digest": "{}"
     {}{}}}}})",
                     acc, recalled, recalled, role, role, role, compared, retrieval);
}

constexpr const char* kCompared = R"(, "paired": {"mine": {"acc": {"items": 400, "delta": -0.05,
  "delta_stderr": 0.01, "ci95": [-0.07, -0.03], "p": 0.001, "p_holm": 0.002, "right_to_wrong": 28,
  "wrong_to_right": 8, "flips": 0.09, "margin": 0.01, "non_inferior": false, "items_needed": 7052}}})";
constexpr const char* kRetrieval = R"(, "probes": {"passkey": {"baseline_can": true,
  "log_prob_delta": -1.5, "log_prob_delta_stderr": 0.2, "ci95": [-1.9, -1.1], "p": 0.0001}})";

ReportData gathered(const char* compared = kCompared, const char* retrieval = kRetrieval) {
  return Files()
      .add("eval.json", "{\"models\": [" + asked("baseline", 0.5, "", 0.9, "") + "," +
                            asked("converted", 0.45, compared, 0.1, retrieval) + "]}")
      .gather();
}

TEST(Questions, TasksAreNoTexts) {
  const ReportData data = gathered();
  ASSERT_EQ(data.models.size(), 2u);
  ASSERT_EQ(data.models[0].scores.size(), 1u);
  EXPECT_EQ(data.models[0].scores[0].on.text, "valid");
  ASSERT_EQ(data.task_scores.size(), 2u);
  EXPECT_EQ(data.task_scores[1].value.value, 0.45);
}

TEST(Questions, DifferencesStandWithTheirIntervals) {
  const ReportData data = gathered();
  EXPECT_TRUE(contains(
      report_markdown(data),
      "| mine, 0-shot (acc) | converted, 4 KV heads | 400 | -0.050 ± 0.010 (-0.0700 to -0.0300) | "
      "0.002 | 28 | 8 | worse (7,052 questions show a difference of 0.01) |"))
      << report_markdown(data);
  EXPECT_TRUE(
      contains(report_csv(data), "tasks-against-baseline,converted,,0,mine:acc,,-0.05,0.01,400\n"))
      << report_csv(data);
  const auto json = nlohmann::json::parse(report_json(data));
  EXPECT_EQ(json["tasks"][1]["paired"]["right_to_wrong"], 28);
  EXPECT_TRUE(json["tasks"][0]["paired"].is_null());
}

TEST(Questions, VerdictsFollowFromTheInterval) {
  const auto verdict = [](const char* ci, double p = 0.04) {
    const std::string compared =
        fmt::format(R"(, "paired": {{"mine": {{"acc": {{"delta": 0, "delta_stderr": 0.1, "ci95": {},
                        "p_holm": {}, "margin": 0.01}}}}}})",
                    ci, p);
    const std::string text = report_markdown(gathered(compared.c_str()));
    const size_t at = text.find("| mine, 0-shot (acc) | converted, 4 KV heads |");
    const std::string row = text.substr(at, text.find('\n', at) - at);
    const size_t last = row.rfind("| ", row.size() - 3);
    return row.substr(last + 2, row.size() - last - 4);
  };
  EXPECT_EQ(verdict("[0.01, 0.02]"), "better");
  EXPECT_EQ(verdict("[-0.005, -0.001]"), "slightly worse");
  EXPECT_EQ(verdict("[-0.03, -0.02]"), "worse");
  EXPECT_EQ(verdict("[-0.005, 0.005]"), "no difference seen");
  // Of so many tasks one is expected to look like this.
  EXPECT_EQ(verdict("[-0.03, -0.02]", 0.07), "perhaps worse");
  EXPECT_EQ(verdict("[0.01, 0.02]", 0.07), "perhaps better");
  EXPECT_EQ(verdict("[-0.05, 0.05]"), "no difference seen, too few items");
}

TEST(Questions, RecallHasAMapAndAVerdict) {
  const ReportData data = gathered();
  const std::string markdown = report_markdown(data);
  EXPECT_TRUE(contains(markdown,
                       "| passkey | converted, 4 KV heads | -1.50 ± 0.20 | -1.900 to -1.100 "
                       "| +0.250 | fell more than the loss says |"))
      << markdown;
  // Each model has a map; a length and depth that were not asked for are empty.
  EXPECT_TRUE(contains(markdown, "| Model | Depth | 256 tokens | 512 tokens |")) << markdown;
  EXPECT_TRUE(contains(markdown, "| converted, 4 KV heads | 50 % | 10 | – |")) << markdown;
  EXPECT_TRUE(contains(markdown, "| converted, 4 KV heads | 100 % | – | 25 |")) << markdown;
  EXPECT_TRUE(contains(markdown, "| lost: converted, 4 KV heads | 50 % | 80 | – |")) << markdown;
  EXPECT_TRUE(contains(markdown, "| lost: converted, 4 KV heads | 100 % | – | 0 |")) << markdown;
  EXPECT_TRUE(contains(report_html(data), "Recall: passkey"));
  EXPECT_TRUE(
      contains(report_csv(data), "recall,converted,converted,0,passkey:acc,256@0.5,0.1,0.1,10\n"))
      << report_csv(data);
  EXPECT_EQ(nlohmann::json::parse(report_json(data))["probes"].size(), 2u);
}

// 1.5 nats a token are more than the 0.25 of the text; the end of the interval nearest to 0 decides.
TEST(Questions, TheVerdictSaysWhetherRecallFellMoreThanTheLoss) {
  const auto first = [](const char* retrieval) {
    return report_verdict(gathered(kCompared, retrieval)).at(0);
  };
  EXPECT_TRUE(contains(first(kRetrieval),
                       "Of the one probe that the original can do, recall fell more than the loss "
                       "says in 1 after conversion (most in passkey, by 1.50 nats a token of the "
                       "answer; the loss rose by 0.25)."));
  EXPECT_TRUE(contains(first(R"(, "probes": {"passkey": {"baseline_can": true,
    "log_prob_delta": -1.5, "log_prob_delta_stderr": 0.7, "ci95": [-2.9, -0.2]}})"),
                       "Of the one probe that the original can do, recall fell in none more than "
                       "the loss says."));
  EXPECT_FALSE(contains(first(R"(, "probes": {"passkey": {"baseline_can": false}})"),
                        "probe that the original"));
  EXPECT_FALSE(contains(first(""), "probe that the original"));
}

TEST(Questions, WhatNeedlesWereHiddenInIsSaid) {
  const auto report = [](const std::string& config) {
    std::string eval = asked("baseline", 0.5, "", 0.9, "");
    const std::string before = R"({"output_type": "probe", "axis": "")";
    eval.replace(eval.find(before), before.size(), before + config);
    return report_markdown(Files().add("eval.json", eval).gather());
  };
  EXPECT_TRUE(contains(report(R"(, "haystack": "text", "haystack_stands_in": false,
                                 "haystack_text": {"name": "essays.txt"})"),
                       "Hidden in: essays.txt"));
  EXPECT_TRUE(contains(report(R"(, "haystack": "noise", "haystack_stands_in": true)"),
                       "Hidden in: sentences about nothing, since no --probe-text was given"));
  EXPECT_FALSE(contains(report(R"(, "haystack": "needles")"), "Hidden in"));
}

TEST(Questions, ABaselineThatCannotRecallProvesNothing) {
  const ReportData data =
      gathered(kCompared, R"(, "probes": {"passkey": {"baseline_can": false}})");
  EXPECT_TRUE(contains(report_markdown(data),
                       "| passkey | converted, 4 KV heads | – | – | +0.250 | "
                       "cannot do this |"));
}

// One row says it for all, and nothing was lost where nothing was found.
TEST(Questions, WhatTheBaselineCannotDoIsOneRow) {
  const char* beyond = R"(, "probes": {"passkey": {"baseline_can": false,
    "log_prob_delta": -1.5, "log_prob_delta_stderr": 0.2, "ci95": [-1.9, -1.1]}})";
  const std::string markdown = report_markdown(
      Files()
          .add("eval.json", "{\"models\": [" + asked("baseline", 0.5, "", 0.9, "") + "," +
                                asked("converted", 0.45, "", 0.1, beyond) + "," +
                                asked("uptrained", 0.45, "", 0.1, beyond) + "]}")
          .gather());
  EXPECT_TRUE(contains(markdown, "| passkey | all 2 | – | – | – | the baseline cannot do this |"))
      << markdown;
  EXPECT_FALSE(contains(markdown, "lost: "));
  // The uptrained one has the baseline's heads.
  EXPECT_TRUE(contains(markdown, "| control, 4 KV heads | 50 % | 10 | – |")) << markdown;
}

TEST(Questions, WrongTypesNameTheFile) {
  for (const char* compared :
       {R"(, "paired": {"mine": {"acc": {"ci95": [1]}}})", R"(, "paired": {"mine": {"acc": 3}})",
        R"(, "paired": {"mine": {"acc": {"ci95": [0, 1], "delta": "x"}}})"}) {
    const ErrorInfo error = expect_error<CheckpointError>("CFG_TYPE", [&] { gathered(compared); });
    EXPECT_TRUE(error.path.ends_with("eval.json")) << error.path;
  }
}

}  // namespace
}  // namespace regroup::testing
