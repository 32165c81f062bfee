// Planted curves whose crossings can be worked out by hand.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "markup.h"
#include "recovery.h"
#include "regroup/base/strict_json.h"
#include "report_files.h"
#include "report_queries.h"

namespace regroup {
namespace {

using namespace testing;

using Curve = std::vector<std::pair<int64_t, double>>;  // tokens and validation loss

/// A metrics.jsonl: `facts` are further members of its start event; the first point is of step 0.
std::string log_of(int64_t heads, const std::string& facts, const Curve& curve) {
  std::string text = fmt::format(
      R"({{"event":"start","step":0,"model":"runs/m","n_kv_heads":{},"seq_len":64,"valid":"v",)"
      R"("val_loss":{}{}}})",
      heads, curve[0].second, facts);
  for (size_t i = 1; i < curve.size(); ++i) {
    text += fmt::format("\n{{\"step\":{},\"tokens\":{},\"loss\":2,\"val_loss\":{}}}", i,
                        curve[i].first, curve[i].second);
  }
  return text + "\n";
}

std::string conversion(const std::string& method, bool calibrated) {
  return fmt::format(R"(,"conversion":{{"method":"{}","calibrated":{},"n_kv_heads":{{"before":8,)"
                     R"("after":2}}}})",
                     method, calibrated);
}
const std::string kTeacher = R"(,"teacher":"p","kl_weight":1.0,"temperature":1.0)";

// The parent has 1, the worst start 5: a gap of 4. To 50 % is a loss of 3, to 90 % one of 1.4, to
// 99 % one of 1.04.
const std::string kControlLog = log_of(8, "", {{0, 1.0}, {3000, 0.9}});
// 3 exactly at 1000; 1.4 lies 3/4 of the way from 2 at 2000 to 1.2 at 3000; 1.04 is never reached.
const std::string kMeanLog =
    log_of(2, conversion("mean", false), {{0, 5}, {1000, 3}, {2000, 2}, {3000, 1.2}});
// Starts at 1.375 <= 1.4; 1.04 lies (1.375 - 1.04) / (1.375 - 0.875) = 67 % of the way to 1000.
const std::string kCalibratedLog =
    log_of(2, conversion("pca", true) + kTeacher, {{0, 1.375}, {1000, 0.875}});

Files three() {
  Files files;
  files.add("mean.jsonl", kMeanLog).add("pca.jsonl", kCalibratedLog).add("c.jsonl", kControlLog);
  return files;
}

TEST(Crossing, IsInterpolatedBetweenTheTwoPointsAroundIt) {
  const std::vector<CurvePoint> curve = {{0, 0, 4}, {1, 100, 2}, {2, 200, 3}, {3, 300, 1}};
  const Crossing half = first_crossing(curve, 3);  // (4 - 3) / (4 - 2) of 100
  EXPECT_EQ(half.reached, Reached::kLater);
  EXPECT_EQ(half.tokens, 50);
  EXPECT_EQ(first_crossing(curve, 2).tokens, 100);    // the point itself
  EXPECT_EQ(first_crossing(curve, 1.5).tokens, 275);  // 200 + (3 - 1.5) / (3 - 1) of 100
  EXPECT_EQ(first_crossing(curve, 4).reached, Reached::kAtTheStart);
  EXPECT_EQ(first_crossing(curve, 0.99).reached, Reached::kNever);
  EXPECT_EQ(first_crossing({}, 1).reached, Reached::kNever);
}

TEST(Recovery, IsReadOffOneGapForAllRuns) {
  const ReportData data = three().gather();
  const std::vector<Recovery> all = find_recoveries(data);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].n_kv_heads, 2);
  EXPECT_EQ(all[0].parent_loss, 1);
  EXPECT_EQ(all[0].worst_loss(), 5);
  ASSERT_EQ(all[0].runs.size(), 2u);
  const auto& mean = all[0].runs[0].crossings;
  EXPECT_EQ(mean[0].tokens, 1000);
  EXPECT_NEAR(mean[1].tokens, 2750, 1e-6);
  EXPECT_EQ(mean[2].reached, Reached::kNever);
  const auto& pca = all[0].runs[1].crossings;
  EXPECT_EQ(pca[0].reached, Reached::kAtTheStart);
  EXPECT_EQ(pca[1].reached, Reached::kAtTheStart);
  EXPECT_NEAR(pca[2].tokens, 670, 1e-6);
}

TEST(Recovery, IsOneSentenceOfTheVerdict) {
  const std::vector<std::string> verdict = report_verdict(three().gather());
  ASSERT_EQ(verdict.size(), 2u);
  EXPECT_EQ(verdict[1],
            "To 90 % of the gap at 2 KV heads: pca (calibrated) + KL at the start, mean + CE 2,750 "
            "tokens.");
}

// One card with a sentence for each number of heads, not a card for each.
TEST(Recovery, SeveralNumbersOfHeadsShareAFinding) {
  Files files = three();
  files.add("four.jsonl", log_of(4, conversion("mean", false), {{0, 2}, {1000, 1.05}}));
  const ReportData data = files.gather();
  const std::vector<std::string> verdict = report_verdict(data);
  ASSERT_EQ(verdict.size(), 2u);
  EXPECT_EQ(verdict[1].find("To 90 % of the gap at 4 KV heads: mean + CE "), 0u) << verdict[1];
  EXPECT_NE(verdict[1].find("tokens. To 90 % of the gap at 2 KV heads: "), std::string::npos)
      << verdict[1];
  EXPECT_NE(report_html(data).find("<h3>Recovery</h3>"), std::string::npos);
}

TEST(Recovery, ASentenceRoundsToThreeDigitsAndNamesWhatWasNotReached) {
  // 90 %: 1.4, from 5 at 0 to 1 at 1,234,567 tokens: 1,111,110.3.
  Files files;
  files.add("a.jsonl", log_of(2, conversion("first", false), {{0, 2}, {9000, 1.5}}))
      .add("b.jsonl", log_of(2, conversion("mean", false), {{0, 5}, {1234567, 1}}))
      .add("c.jsonl", kControlLog);
  EXPECT_EQ(
      report_verdict(files.gather()).at(1),
      "To 90 % of the gap at 2 KV heads: mean + CE 1,110,000 tokens, first + CE not reached.");
}

TEST(Recovery, TheTableHoldsEveryRunAndTheControl) {
  const std::string markdown = report_markdown(three().gather());
  EXPECT_NE(
      markdown.find("**Tokens to close the gap at 2 KV heads**\n\n"
                    "| Run | Tokens | Loss at the start | Loss at the end | To 50 % | To 90 % "
                    "| To 99 % |\n"
                    "|---|---:|---:|---:|---:|---:|---:|\n"
                    "| mean + CE | 3,000 | 5 | 1.2 | 1,000 | 2,750 | not reached |\n"
                    "| pca (calibrated) + KL | 1,000 | 1.375 | 0.875 | at the start | at the "
                    "start | 670 |\n"
                    "| control | 3,000 | 1 | 0.9 | – | – | – |\n"),
      std::string::npos)
      << markdown;
  EXPECT_NE(markdown.find("from the worst start, 5 of mean + CE, to the loss of the parent, 1 "),
            std::string::npos)
      << markdown;
}

TEST(Recovery, AnEvaluatedControlIsCalledOne) {
  Files files;
  files.add("mean.jsonl", kMeanLog)
      .add("c.jsonl", kControlLog)
      .add("e.json", models({kBaseline, model_json("converted", 8, 1.387, delta(0, 0)),
                             model_json("uptrained", 8, 1.287, delta(-0.1, 0.004)),
                             model_json("converted", 2, 4, delta(2.6, 0.1))}));
  const std::vector<std::string> verdict = report_verdict(files.gather());
  ASSERT_EQ(verdict.size(), 3u);
  EXPECT_TRUE(verdict[0].starts_with("With 2 instead of 8 KV heads")) << verdict[0];
  EXPECT_EQ(verdict[1],
            "The control, the original trained on: after uptraining on 3000 tokens the loss is "
            "1.287, 0.1000 ± 0.0040 below the original's.");
  EXPECT_TRUE(verdict[2].starts_with("To 90 %")) << verdict[2];
  EXPECT_EQ(report_html(files.gather()).find("measurable gap"), std::string::npos);
  const std::string markdown = report_markdown(files.gather());
  EXPECT_EQ(markdown.find("| uptrained | 8 |"), std::string::npos) << markdown;
  EXPECT_NE(markdown.find("| control | 8 |"), std::string::npos) << markdown;
  EXPECT_NE(markdown.find("8 KV heads, control: "), std::string::npos) << "its curve";
}

TEST(Recovery, SeveralRunsOfOneNumberOfHeadsKeepTheirOwnConversion) {
  // Both logs say model runs/m; the second one's run folder made "other/model".
  std::string other = log_of(2, conversion("pca", true), {{0, 1.5}, {1000, 1.4}});
  other.replace(other.find("runs/m"), 6, "converted-2");
  Files files;
  files.add("mean.jsonl", kMeanLog).add("pca.jsonl", other);
  const std::string folder = files.paths()[1].substr(0, files.paths()[1].rfind('/') + 1);
  ReportData data = files.gather();
  data.uptrainings[0].path = "elsewhere/metrics.jsonl";
  for (const char* name : {"runs/m", "converted-2"}) {
    data.models.push_back({.role = "converted", .name = name, .n_kv_heads = 2});
  }
  ReportModel uptrained{.role = "uptrained", .name = folder + "model", .n_kv_heads = 2};
  EXPECT_EQ(find_converted(data, uptrained)->name, "converted-2");
  uptrained.name = "elsewhere/model";
  EXPECT_EQ(find_converted(data, uptrained)->name, "runs/m");
  uptrained.name = "unknown/model";
  EXPECT_EQ(find_converted(data, uptrained), nullptr);  // one of the two
  data.models.erase(data.models.end() - 1);
  EXPECT_EQ(find_converted(data, uptrained)->name, "runs/m");
}

TEST(Recovery, TheFooterSaysThatNumbersAreReadOffCurves) {
  const std::string end = "holds, or is read off a curve of one.";
  EXPECT_NE(report_markdown(three().gather()).find(end), std::string::npos);
  EXPECT_EQ(report_markdown(full().gather()).find(end), std::string::npos);
}

TEST(Recovery, TheChartHasALineARunAndTheTwoReferences) {
  const std::string html = report_html(three().gather());
  for (const char* part :
       {"<section id=\"recovery\">", "<title>Recovery with 2 KV heads</title>",
        "<title>mean + CE</title></path>", "<title>pca (calibrated) + KL</title></path>",
        "<title>control</title></path>", ">before 1</text>", ">control 0.9</text>",
        "mean + CE: 2,000 tokens, validation loss 2</title>"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
}

TEST(Recovery, IsInTheJsonAndTheCsv) {
  const ReportData data = three().gather();
  const Json json = parse_strict_json(report_json(data), "x", kManifestJson)["recovery"];
  ASSERT_EQ(json.size(), 1u);
  EXPECT_EQ(json[0]["parent_loss_from"], "control");
  EXPECT_EQ(json[0]["worst_start"]["label"], "mean + CE");
  const Json& crossings = json[0]["runs"][0]["crossings"];
  EXPECT_EQ(crossings[1], (Json{{"percent", 90}, {"reached", "later"}, {"tokens", 2750}}));
  EXPECT_EQ(crossings[2], (Json{{"percent", 99}, {"reached", "not reached"}, {"tokens", nullptr}}));
  EXPECT_EQ(json[0]["runs"][1]["crossings"][0]["reached"], "at the start");
  const std::string csv = report_csv(data);
  EXPECT_NE(csv.find("recovery,runs/m,uptrained,2,\"mean + CE:tokens_to_90\",,2750,,\n"),
            std::string::npos)
      << csv;
  EXPECT_NE(csv.find("\"mean + CE:tokens_to_99\",,,,\n"), std::string::npos);
  EXPECT_NE(csv.find("\"pca (calibrated) + KL:tokens_to_90\",,0,,\n"), std::string::npos);
}

TEST(Recovery, WithoutAControlTheParentIsWhatEvalMeasured) {
  Files files;  // kBaseline: 1.387; 90 % of 5 - 1.387 leave 1.7483, 2000 + 251.7/800 of 1000
  files.add("mean.jsonl", kMeanLog).add("pca.jsonl", kCalibratedLog).add("e.json", kBaseline);
  const ReportData data = files.gather();
  const std::vector<Recovery> all = find_recoveries(data);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_FALSE(all[0].parent_by_control);
  EXPECT_NEAR(all[0].runs[0].crossings[1].tokens, 2314.625, 1e-6);
  EXPECT_NE(report_markdown(data).find("as eval measured it on valid; the validation text may be"),
            std::string::npos);
}

TEST(Recovery, NeedsTwoRunsAndAKnownParent) {
  const auto groups = [](const std::vector<std::string>& texts) {
    Files files;
    for (size_t i = 0; i < texts.size(); ++i) files.add(std::to_string(i) + ".x", texts[i]);
    const ReportData data = files.gather();
    return find_recoveries(data).size();
  };
  EXPECT_EQ(groups({kMeanLog, kBaseline}), 0u);
  EXPECT_EQ(groups({kMeanLog, kCalibratedLog}), 0u);  // the parent's loss is not known
  EXPECT_EQ(groups({kMeanLog, kControlLog}), 1u);
  EXPECT_EQ(groups({kControlLog, kBaseline}), 0u);
  const std::string other = log_of(4, conversion("mean", false), {{0, 3}, {1000, 2}});
  EXPECT_EQ(groups({kMeanLog, other, kControlLog}), 2u);
  EXPECT_EQ(groups({kMeanLog, other, kBaseline}), 0u);
}

TEST(Recovery, RunsValidatedOnOtherWindowsAreNotCompared) {
  std::string other = kMeanLog;
  other.replace(other.find("\"v\""), 3, "\"w\"");
  Files files;
  files.add("a.jsonl", kMeanLog).add("b.jsonl", other).add("c.jsonl", kControlLog);
  const ReportData data = files.gather();
  const std::vector<Recovery> all = find_recoveries(data);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].runs.size(), 1u);
}

TEST(Recovery, WithoutAGapNothingIsReadOff) {
  Files files;
  files.add("a.jsonl", log_of(2, conversion("mean", false), {{0, 1}, {1000, 0.5}}))
      .add("c.jsonl", kControlLog);
  const ReportData data = files.gather();
  EXPECT_EQ(report_verdict(data).size(), 1u);
  const std::string markdown = report_markdown(data);
  EXPECT_NE(markdown.find("there is no gap."), std::string::npos) << markdown;
  EXPECT_NE(markdown.find("| mean + CE | 1,000 | 1 | 0.5 | – | – | – |"), std::string::npos);
  EXPECT_EQ(report_csv(data).find("tokens_to"), std::string::npos);
}

TEST(Recovery, EqualLabelsGetWhatDiffers) {
  const auto labels_of = [](const std::array<std::pair<const char*, int64_t>, 3>& runs) {
    ReportData data;
    data.uptrainings = {{.path = "c", .parent_kv_heads = 8, .n_kv_heads = 8, .valid = {{0, 0, 1}}}};
    for (const auto& [path, tokens] : runs) {
      data.uptrainings.push_back({.path = path,
                                  .method = "mean",
                                  .n_kv_heads = 2,
                                  .tokens = tokens,
                                  .valid = {{0, 0, 2}}});
    }
    std::vector<std::string> labels;
    const Recovery recovery = find_recoveries(data).at(0);
    for (const RecoveryRun& run : recovery.runs) labels.push_back(run.label);
    EXPECT_NE(recovery_sentence(recovery).find("not reached; mean + CE, "), std::string::npos);
    return labels;
  };
  using Labels = std::vector<std::string>;
  EXPECT_EQ(
      labels_of({{{"r/a/m", 1000}, {"r/b/m", 500}, {"r/c/m", 500}}}),
      (Labels{"mean + CE, 1000 tokens", "mean + CE, 500 tokens, b", "mean + CE, 500 tokens, c"}));
  EXPECT_EQ(labels_of({{{"r/a/m", 9}, {"r/b/m", 9}, {"s/b/m", 9}}}),
            (Labels{"mean + CE, a", "mean + CE, b, r/b/m", "mean + CE, b, s/b/m"}));
}

TEST(Recovery, LabelsSayMethodAndObjective) {
  ReportData data;
  ReportUptraining run{.path = "x", .model = "runs/g2/converted/", .teacher = "", .n_kv_heads = 2};
  EXPECT_EQ(run_label(data, run), "converted + CE");
  run.method = "mean";
  run.teacher = "p";
  EXPECT_EQ(run_label(data, run), "mean + KL");
  run.kl_weight = 0.25;
  EXPECT_EQ(run_label(data, run), "mean + 0.25 KL + 0.75 CE");
  run.kl_weight = 0.0;
  EXPECT_EQ(run_label(data, run), "mean + CE");
  run.kl_weight = 1.0;
  run.temperature = 2.0;
  EXPECT_EQ(run_label(data, run), "mean + KL (T = 2)");
  run.parent_kv_heads = 2;
  data.uptrainings = {run};
  EXPECT_EQ(run_label(data, run), "control, KL (T = 2)");
}

}  // namespace
}  // namespace regroup
