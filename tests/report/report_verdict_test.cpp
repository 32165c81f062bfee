#include <gtest/gtest.h>

#include "regroup/report/report.h"
#include "report_files.h"

namespace regroup {
namespace {

using namespace testing;

// 320 * 8 = 2560 bytes = 2.5 KiB, with 4 heads half of it.
TEST(Verdict, OfARecoveredGap) {
  EXPECT_EQ(
      full().verdict(),
      "With 4 instead of 8 KV heads the cache needs half the memory (1.25 KiB instead of 2.5 "
      "KiB a token); conversion alone raised the loss from 1.387 to 3.15, uptraining on 614 k "
      "tokens brought back 93.1 % ± 0.6 of that gap (loss 1.51).");
}

TEST(Verdict, DoesNotDependOnTheOrderOfTheFiles) {
  Files files;
  files.add("m.jsonl", kMetrics)
      .add("u.json", kUptrained)
      .add("c.json", kConverted)
      .add("b.json", kBaseline);
  EXPECT_EQ(files.verdict(), full().verdict());
}

TEST(Verdict, SaysThatThereIsNoGap) {
  // |0.03| <= 2 * 0.016: the recovery, a quotient of noise, must not be printed.
  const std::string converted = model_json("converted", 4, 1.417, delta(0.03, 0.016));
  Files files;
  files.add("e.json", models({kBaseline, converted, kUptrained}));
  EXPECT_EQ(
      files.verdict(),
      "With 4 instead of 8 KV heads the cache needs half the memory (1.25 KiB instead of 2.5 "
      "KiB a token); conversion left no measurable gap (loss 1.387 before, 1.417 after), after "
      "uptraining the loss is 1.51, 0.1230 ± 0.0040 above the original's.");
  EXPECT_NE(report_markdown(files.gather()).find("| no measurable gap |"), std::string::npos);
  EXPECT_EQ(report_html(files.gather()).find("93.1"), std::string::npos);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  return text.replace(text.find(from), from.size(), to);
}

// Of two conversions to the same number of heads the one counts whose digest the uptrained model names.
TEST(Verdict, IsOfTheConversionThatWasTrained) {
  const std::string better = replaced(
      replaced(model_json("converted", 4, 1.6, delta(0.213, 0.02)), "dconverted4", "other"),
      "converted-4", "better-4");
  const auto verdict = [&](const std::string& digest) {
    Files files;
    files.add("e.json", models({kBaseline, kConverted, better,
                                replaced(kUptrained, "\"digest\":",
                                         "\"started_from\": \"" + digest + "\", \"digest\":")}));
    return files.verdict();
  };
  EXPECT_NE(verdict("other").find("from 1.387 to 1.6,"), std::string::npos) << verdict("other");
  EXPECT_NE(verdict("dconverted4").find("from 1.387 to 3.15,"), std::string::npos);
  EXPECT_EQ(verdict("absent").find("conversion alone"), std::string::npos);
}

TEST(Verdict, AnExactConversionHasNoGap) {
  Files files;  // 0 <= 2 * 0
  files.add("e.json", models({kBaseline, model_json("converted", 4, 1.387, delta(0, 0))}));
  EXPECT_NE(files.verdict().find("no measurable gap (loss 1.387 before, 1.387 after); nothing was"),
            std::string::npos);
}

TEST(Verdict, AGapOfMoreThanTwoErrorsIsAGap) {
  Files files;
  files.add("e.json", models({kBaseline, model_json("converted", 4, 1.417, delta(0.03, 0.0149)),
                              kUptrained}));
  EXPECT_NE(files.verdict().find("brought back 93.1 % ± 0.6"), std::string::npos);
}

TEST(Verdict, WithoutAStandardErrorNothingIsCalledNoGap) {
  // One window: eval writes "N/A".
  const std::string na = R"(, "loss_delta,none": 0.001, "loss_delta_stderr,none": "N/A")";
  Files files;
  files.add("e.json", models({kBaseline, model_json("converted", 4, 1.388, na)}));
  EXPECT_NE(files.verdict().find("raised the loss from 1.387 to 1.388"), std::string::npos);
}

TEST(Verdict, IsHonestAboutLossesAndGains) {
  const auto with = [](double value) {
    Files files;
    files.add("e.json", models({kBaseline, kConverted,
                                model_json("uptrained", 4, 1.51, recovery(value, 0.01))}));
    return files.verdict();
  };
  EXPECT_NE(with(-0.05).find("brought nothing back: the loss is 1.51, and the gap grew (recovery "
                             "-5.0 % ± 1.0)."),
            std::string::npos);
  EXPECT_NE(with(1.04).find("brought back 104.0 % ± 1.0 of that gap (loss 1.51), more than was "
                            "lost: the training text also taught the model something new"),
            std::string::npos);
}

TEST(Verdict, OfParts) {
  const auto of = [](const std::string& text) { return Files().add("e.json", text).verdict(); };
  EXPECT_EQ(of(models({kBaseline, kConverted})),
            "With 4 instead of 8 KV heads the cache needs half the memory (1.25 KiB instead of 2.5 "
            "KiB a token); conversion alone raised the loss from 1.387 to 3.15; nothing was "
            "uptrained.");
  EXPECT_EQ(of(kConverted), "The converted model's loss is 3.15; nothing was uptrained.");
  EXPECT_EQ(of(kUptrained), "Uptraining brought back 93.1 % ± 0.6 of that gap (loss 1.51).");
  EXPECT_EQ(of(model_json("model", 8, 1.387, "")),
            "The loss of model-8 is 1.387 ± 0.018 on valid; no converted model was evaluated.");
  EXPECT_EQ(of(R"({"model": {}, "options": [], "why": "nothing fits"})"), "Nothing fits.");
  EXPECT_EQ(of(kMetrics), "Uptrained on 614 k tokens in 300 steps; no model was evaluated.");
  EXPECT_EQ(of(R"({"samples": []})"), "No model was evaluated.");
}

// A run is there whose model nobody scored.
TEST(Verdict, ARunWithoutAScoreIsNotNothing) {
  Files files;
  files.add("e.json", models({kBaseline, kConverted}));
  files.add("metrics.jsonl", kMetrics);
  EXPECT_NE(files.verdict().find("from 1.387 to 3.15; no uptrained model was scored."),
            std::string::npos)
      << files.verdict();
}

TEST(Verdict, OneForEachNumberOfHeads) {
  Files files;
  files.add("e.json", models({model_json("converted", 2, 4, delta(2.6, 0.1)), kUptrained,
                              kConverted, kBaseline}));
  const auto verdict = report_verdict(files.gather());
  ASSERT_EQ(verdict.size(), 2u);
  EXPECT_TRUE(verdict[0].starts_with("With 4 instead of 8 KV heads")) << verdict[0];
  EXPECT_TRUE(verdict[1].starts_with(
      "With 2 instead of 8 KV heads the cache needs a quarter of the memory (640 B instead"))
      << verdict[1];
}

}  // namespace
}  // namespace regroup
