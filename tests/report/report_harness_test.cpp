// Results that lm-evaluation-harness wrote itself stand beside ours; what does not compare is said, what is broken refused.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "markup.h"
#include "report_files.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

constexpr const char* kMade = "tests/tasks/golden/harness/made__up/";
constexpr const char* kDate = "_2026-01-31T12-00-05.123456.json";

std::string golden_results() { return read_file(std::string(kMade) + "results" + kDate); }

/// A results file with one task, `more` being members beside "results".
std::string one_task(const std::string& model, const std::string& row, const std::string& more) {
  return fmt::format(R"({{"results": {{"piqa": {{{}}}}}, "model_name": "{}", "versions": {{}}{}}})",
                     row, model, more);
}

const ReportTaskScore* score_of(const ReportData& data, const std::string& task,
                                const std::string& metric) {
  for (const ReportTaskScore& score : data.task_scores) {
    if (score.on.task == task && score.on.metric == metric) return &score;
  }
  return nullptr;
}

TEST(HarnessResultFiles, EveryScoreOfTheHarnessIsRead) {
  const ReportData data = Files().add("results.json", golden_results()).gather();
  size_t expected = 0;
  const auto file = nlohmann::json::parse(golden_results());
  for (const auto& [task, row] : file["results"].items()) {
    for (const auto& [key, value] : row.items()) {
      expected += key.find(',') != std::string::npos && key.find("_stderr") == std::string::npos;
    }
  }
  EXPECT_EQ(data.task_scores.size(), expected);
  EXPECT_EQ(data.sources[0].kind, "lm-evaluation-harness");
  const ReportTaskScore* piqa = score_of(data, "piqa", "acc");
  ASSERT_NE(piqa, nullptr);
  EXPECT_EQ(piqa->model, "made/up");
  EXPECT_EQ(piqa->on.n_shot, 0);
  EXPECT_EQ(piqa->samples, 2);
  EXPECT_EQ(piqa->version, "1");
  EXPECT_EQ(piqa->value.error, 0.5);
  const ReportTaskScore* group = score_of(data, "mmlu", "acc");
  ASSERT_NE(group, nullptr);
  EXPECT_EQ(group->on.n_shot, 0) << "of its only task";
  EXPECT_EQ(group->samples, 1);
  EXPECT_EQ(group->version, "2");
  EXPECT_EQ(score_of(data, "gsm8k", "exact_match")->on.filter, "strict-match");
  EXPECT_EQ(score_of(data, "arc_challenge", "acc")->value.error, std::nullopt) << "N/A";
}

TEST(HarnessResultFiles, OfAnotherModelStandBesideOurs) {
  const std::string ours = one_task("converted-4", R"("acc,none": 0.25, "acc_stderr,none": 0.02)",
                                    R"(, "n-shot": {"piqa": 0}, "regroup": {"role": "converted",
                                    "n_kv_heads": 4}, "config": {"model_dtype": "f32"})");
  const std::string theirs =
      one_task("", R"("acc,none": 0.5, "acc_stderr,none": "N/A")",
               R"(, "n-shot": {"piqa": 0}, "config": {"model": "local-completions",
         "model_args": "model=some/api-model,base_url=http://localhost"})");
  const std::string markdown =
      report_markdown(Files().add("eval.json", ours).add("results_x.json", theirs).gather());
  EXPECT_TRUE(contains(markdown,
                       "| Task | Metric | Items | converted, 4 KV heads | some/api-model |\n"
                       "|---|---|---:|---:|---:|\n"
                       "| piqa, 0-shot | acc | – | 0.250 ± 0.020 | 0.5 |\n"))
      << markdown;
}

TEST(HarnessResultFiles, WhatDoesNotCompareIsSaid) {
  const auto file = [](const char* model, int shots, const char* version, int items) {
    return fmt::format(
        R"({{"results": {{"piqa": {{"acc,none": 0.5}}}}, "model_name": "{}", "n-shot": {{"piqa": {}}},
            "versions": {{"piqa": {}}}, "n-samples": {{"piqa": {{"effective": {}}}}}}})",
        model, shots, version, items);
  };
  const std::string markdown = report_markdown(Files()
                                                   .add("a.json", file("a", 0, "1.0", 1838))
                                                   .add("b.json", file("b", 0, "1", 1838))
                                                   .add("c.json", file("c", 0, "2", 1838))
                                                   .add("d.json", file("d", 0, "\"1\"", 100))
                                                   .add("e.json", file("e", 5, "1", 1838))
                                                   .gather());
  EXPECT_TRUE(contains(markdown,
                       "| piqa, 0-shot | acc | 1,838 | 0.5 | 0.5 | 0.5 (version 2, not 1) | "
                       "0.5 (of 100 items) | – |\n"
                       "| piqa, 5-shot | acc | 1,838 | – | – | – | – | 0.5 |\n"))
      << markdown;
  EXPECT_TRUE(contains(markdown, "It does not compare."));
}

TEST(HarnessResultFiles, SharedItemsNeedNoNote) {
  const std::string text =
      report_markdown(Files()
                          .add("a.json", one_task("a", R"("acc,none": 0.5, "sample_len": 9)", ""))
                          .add("b.json", one_task("b", R"("acc,none": 0.25, "sample_len": 9)", ""))
                          .gather());
  EXPECT_TRUE(contains(text, "| piqa | acc | 9 | 0.5 | 0.25 |\n")) << text;
  EXPECT_EQ(text.find("does not compare"), std::string::npos);
}

TEST(HarnessResultFiles, OlderLayouts) {
  const ReportData data =
      Files()
          .add("a.json", R"({"results": {"piqa": {"acc": 0.5, "acc_stderr": 0.1}},
                            "versions": {"piqa": 0}, "config": {"model": "gpt2"}})")
          .add("b.json", R"({"results": {"mmlu": {"acc,none": 0.25, "alias": " - mmlu",
                                "samples": {"original": 9, "effective": 5}}},
                            "configs": {"anatomy": {"num_fewshot": 5}, "law": {"num_fewshot": 5}},
                            "group_subtasks": {"mmlu": ["stem", "law"], "stem": ["anatomy", "mmlu"]}})")
          .add("c.json", R"({"results": {"x": {"acc,none": 0.5}}, "n-shot": {"x": null},
                            "versions": {"x": "Yaml"}, "config": {"model_args": "peft=p,pretrained=q"}})")
          .gather();
  ASSERT_EQ(data.task_scores.size(), 3u);
  EXPECT_EQ(data.task_scores[0].version, "0");
  EXPECT_EQ(data.task_scores[0].on.n_shot, std::nullopt);
  EXPECT_EQ(data.task_scores[1].on.n_shot, 5);
  EXPECT_EQ(data.task_scores[1].samples, 5);
  EXPECT_EQ(data.task_scores[2].version, "");
  EXPECT_EQ(data.task_scores[2].model, "p");
}

TEST(HarnessResultFiles, NoNumbers) {
  const std::string text = report_markdown(
      Files()
          .add("a.json", one_task("a", R"("acc,none": NaN, "acc_stderr,none": NaN, "f1,none": "nan",
                        "em,none": 0.5, "em_stderr,none": Infinity, "p,none": "N/A")",
                                  ""))
          .gather());
  for (const char* metric : {"acc", "f1", "p"}) {
    EXPECT_TRUE(contains(text, fmt::format("| piqa | {} | – | no number |\n", metric)));
  }
  EXPECT_TRUE(contains(text, "| piqa | em | – | 0.5 |\n"));
}

TEST(HarnessResultFiles, ThirdOutcomeOfOneNameIsNotLost) {
  Files files;
  for (const char* acc : {"0.5", "0.25", "0.75"}) {
    files.add(fmt::format("{}/results.json", acc),
              one_task("m", "\"acc,none\": " + std::string(acc), ""));
  }
  EXPECT_TRUE(
      contains(report_markdown(files.gather()), "| piqa | acc | – | 0.5 | 0.25 | 0.75 |\n"));
  EXPECT_TRUE(contains(report_markdown(files.gather()), "| m | m (results) | m (results, 2) |"));
}

TEST(HarnessResultFiles, BrokenLayoutsNameTheKey) {
  struct Case {
    const char* file;
    const char* told;
  };
  const Case cases[] = {
      {R"({"results": [1], "versions": {}})", "\"results\" must be an object, found [1]"},
      {R"({"results": {"x": 3}, "versions": {}})", "\"results.x\" must be an object, found 3"},
      {R"({"results": {"x": {"acc,none": [0.5]}}, "versions": {}})",
       "\"results.x.acc,none\" must be a number or \"N/A\", found [0.5]"},
      {R"({"results": {"x": {"acc,none": "high"}}, "versions": {}})",
       "\"results.x.acc,none\" must be a number or \"N/A\", found \"high\""},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": []})", "\"versions\" must be an object"},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {"x": {}}})",
       "\"versions.x\" must be a number or a text, found {}"},
      {R"({"results": {"x": {"acc,none": 1}}, "n-shot": {"x": "five"}})",
       "\"n-shot.x\" must be a whole number from 0, found \"five\""},
      {R"({"results": {"x": {"acc,none": 1}}, "n-shot": {"x": -1}})", "\"n-shot.x\""},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {}, "n-samples": {"x": 3}})",
       "\"n-samples.x\" must be an object, found 3"},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {}, "n-samples": {"x": {"effective": 1.5}}})",
       "\"n-samples.x.effective\" must be a whole number from 0, found 1.5"},
      {R"({"results": {"x": {"acc,none": 1, "sample_len": "all"}}, "versions": {}})",
       "\"results.x.sample_len\""},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {}, "higher_is_better": {"x": true}})",
       "\"higher_is_better.x\" must be an object"},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {}, "group_subtasks": {"x": [7]}})",
       "\"group_subtasks.x\" must be a list of texts, found [7]"},
      {R"({"results": {"x": {"acc,none": 1}}, "versions": {}, "config": "hf"})",
       "\"config\" must be an object, found \"hf\""}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.file);
    Files files;
    files.add("a.json", c.file);
    const ErrorInfo error = expect_error("CFG_TYPE", [&] { files.gather(); });
    EXPECT_TRUE(contains(error.message, c.told));
    EXPECT_TRUE(error.path.ends_with("a.json"));
  }
}

TEST(HarnessResultFiles, GroupsInACircleEnd) {
  std::string members = "\"a\"";
  for (int i = 0; i < 200; ++i) members += fmt::format(", \"g{}\"", i % 20);
  std::string groups = fmt::format("\"a\": [{}]", members);
  for (int i = 0; i < 20; ++i) groups += fmt::format(", \"g{}\": [{}]", i, members);
  const std::string file = fmt::format(
      R"({{"results": {{"a": {{"acc,none": 0.5}}}}, "versions": {{}}, "group_subtasks": {{{}}}}})",
      groups);
  EXPECT_EQ(Files().add("a.json", file).gather().task_scores.at(0).on.n_shot, std::nullopt);
}

TEST(HarnessResultFiles, HostileTextsInEveryField) {
  for (const char* payload :
       {"<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "]]>", "|`*_[x](y)",
        "\u202Eevil", "</td></tr></table>", "=HYPERLINK(\"x\")", "a,b,c"}) {
    SCOPED_TRACE(payload);
    nlohmann::ordered_json file = nlohmann::ordered_json::parse(golden_results());
    file["model_name"] = payload;
    nlohmann::ordered_json row = file["results"]["piqa"];
    row[std::string("m") + payload + "," + payload] = 0.5;
    file["results"][payload] = row;
    file["versions"][payload] = payload;
    file["higher_is_better"][payload][payload] = true;
    const ReportData data = Files().add("a.json", file.dump()).gather();
    const std::string html = report_html(data);
    const Markup page(html);
    for (const std::string& tag : page.tags()) {
      EXPECT_FALSE(tag.starts_with("script") || tag.starts_with("img")) << tag;
    }
    const std::string csv = report_csv(data);
    EXPECT_EQ(csv.find("\n="), std::string::npos);
    EXPECT_EQ(csv.find(",\"="), std::string::npos);
    report_markdown(data);
    report_json(data);
  }
}

// Our own file in the harness's layout, beside the one of eval --out: the same model and numbers, once.
TEST(HarnessResultFiles, OursInTheirLayoutIsTheSameModel) {
  const std::string harness =
      R"({"results": {"valid": {"name": "valid", "alias": "valid", "sample_len": 79, "loss,none": 3.15,
            "loss_stderr,none": 0.018}, "passkey": {"sample_len": 20, "acc,none": 1.0}},
          "configs": {"valid": {"output_type": "text_loss", "seq_len": 256, "stream_tokens": 20000},
                      "passkey": {"output_type": "probe"}},
          "n-samples": {"valid": {"effective": 79}}, "config": {"model_dtype": "torch.float32"},
          "model_name": "converted-4", "model_source": "regroup",
          "regroup": {"version": "0.1.0", "role": "converted", "n_kv_heads": 4, "digest": "dconverted4"}})";
  const ReportData data = full().add("results_x.json", harness).gather();
  EXPECT_EQ(data.models.size(), 3u);
  for (const ReportModel& model : data.models) EXPECT_EQ(model.scores.size(), 1u) << model.name;
  EXPECT_TRUE(data.task_scores.empty());
}

}  // namespace
}  // namespace regroup::testing
