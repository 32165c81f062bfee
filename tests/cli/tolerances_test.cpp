// What a model may lose of tasks and probes, by hand: what is read, and who is within.
#include "tolerances.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "sweep_text.h"

namespace regroup::testing {
namespace {

const std::vector<std::string> kTasks = {"piqa", "arc_easy", "wikitext"};

std::vector<Tolerance> tolerances(const std::vector<std::string>& tasks,
                                  const std::vector<std::string>& probes = {},
                                  std::optional<double> loss = {}) {
  return parse_tolerances({.loss = loss, .tasks = tasks, .probes = probes}, kTasks, {"passkey"});
}

TEST(Tolerances, NameATaskItsScoreAndPoints) {
  const auto all = tolerances({"piqa=1", "arc_easy:acc_norm=2.5"}, {"passkey=0.1"}, 0.05);
  ASSERT_EQ(all.size(), 4U);
  EXPECT_EQ(tolerance_text(all[0]), "loss 0.05 nats a token");
  EXPECT_EQ(tolerance_text(all[1]), "piqa acc 1 point");
  EXPECT_EQ(tolerance_text(all[2]), "arc_easy acc_norm 2.5 points");
  EXPECT_EQ(tolerance_text(all[3]), "passkey 0.1 nats a token");
}

TEST(Tolerances, AFileSaysWhichScoresItHas) {
  const TemporaryFolder folder;
  const std::string file =
      folder.write("mine.jsonl", R"({"context": "a", "choices": ["b", "c"], "gold": 0})"
                                 "\n");
  const auto all = parse_tolerances({.tasks = {"mine=3"}}, {file}, {});
  EXPECT_EQ(tolerance_text(all.at(0)), "mine acc 3 points");
}

TEST(Tolerances, RefuseWhatCannotBeHeld) {
  struct Case {
    std::vector<std::string> tasks;
    std::vector<std::string> probes;
    const char* code;
    const char* message;
    const char* hint;
  };
  const Case cases[] = {
      {{"piqa"}, {}, "FLAG_VALUE", "--tolerance-task must be NAME=POINTS", "for example"},
      {{"piqa="}, {}, "FLAG_VALUE", "found piqa=", ""},
      {{"=1"}, {}, "FLAG_VALUE", "found =1", ""},
      {{"piqa=0"}, {}, "FLAG_VALUE", "a number above 0 and at most 100", ""},
      {{"piqa=-1"}, {}, "FLAG_VALUE", "found piqa=-1", ""},
      {{"piqa=101"}, {}, "FLAG_VALUE", "found piqa=101", ""},
      {{"piqa=nan"}, {}, "FLAG_VALUE", "found piqa=nan", ""},
      {{"piqa=1%"}, {}, "FLAG_VALUE", "found piqa=1%", ""},
      {{"pika=1"},
       {},
       "TASK_UNKNOWN",
       "piqa, arc_easy, wikitext; found pika",
       "did you mean piqa?"},
      {{"boolq=1"}, {}, "TASK_UNKNOWN", "found boolq", "give that task to --task too"},
      {{"arc_easy:acc_nrm=1"},
       {},
       "FLAG_VALUE",
       "acc, acc_norm; found acc_nrm",
       "did you mean acc_norm?"},
      {{"wikitext=1"}, {}, "FLAG_VALUE", "counted in points: none", "choose another task"},
      {{"piqa=1", "piqa:acc=2"}, {}, "FLAG_VALUE", "once for each score, found piqa twice", ""},
      {{}, {"passkee=1"}, "PROBE_UNKNOWN", "found passkee", "did you mean passkey?"},
      {{}, {"passkey=x"}, "FLAG_VALUE", "--tolerance-probe must be NAME=NATS", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.tasks.empty() ? c.probes[0] : c.tasks[0]);
    const ErrorInfo error =
        expect_error<ConfigError>(c.code, [&] { tolerances(c.tasks, c.probes); });
    EXPECT_NE(error.message.find(c.message), std::string::npos) << error.message;
    EXPECT_NE(error.hint.find(c.hint), std::string::npos) << error.hint;
  }
}

/// A conversion to 4 heads: piqa's accuracy fell by 0.8 points (-0.2 to 2), passkey's answers by 0.3 nats (0.1 to 0.5).
std::vector<SweepPoint> found() {
  SweepPoint parent{.n_kv_heads = 8, .role = "baseline"};
  SweepPoint four{.n_kv_heads = 4, .role = "converted"};
  four.losses.push_back({.text = "valid", .value = 0.03, .error = 0.005});
  TaskDifference piqa{.task = "piqa", .measure = "acc", .items = 500, .delta = {-0.008, 0.006}};
  piqa.low = -0.02;
  piqa.high = 0.002;
  four.result.paired = {piqa};
  ProbeResult passkey{.name = "passkey"};
  passkey.difference = ProbeDifference{.delta = {-0.3, 0.1}, .low = -0.5, .high = -0.1};
  four.result.probes = {passkey};
  return {parent, four};
}

TEST(Tolerances, TheUpperEndOfWhatIsLostDecides) {
  std::vector<SweepPoint> points = found();
  check_tolerances(tolerances({"piqa=2.1"}, {"passkey=0.5"}, 0.04), "eval.json", points);
  EXPECT_TRUE(points[0].checks.empty()) << "the parent loses nothing";
  ASSERT_EQ(points[1].checks.size(), 3U);
  const ToleranceCheck& loss = points[1].checks[0];
  EXPECT_NEAR(loss.low, 0.0202, 1e-9);  // 0.03 -+ 1.96 * 0.005
  EXPECT_NEAR(loss.high, 0.0398, 1e-9);
  const ToleranceCheck& piqa = points[1].checks[1];
  EXPECT_NEAR(piqa.loss, 0.8, 1e-9);
  EXPECT_NEAR(piqa.error, 0.6, 1e-9);
  EXPECT_NEAR(piqa.low, -0.2, 1e-9);
  EXPECT_NEAR(piqa.high, 2, 1e-9);
  EXPECT_NEAR(piqa.excess, -0.1, 1e-9);
  EXPECT_EQ(points[1].checks[2].high, 0.5);
  EXPECT_TRUE(points[1].within());
  EXPECT_EQ(smallest_within(points), &points[1]);
}

// As eval's non_inferior, whose interval must lie above the margin.
TEST(Tolerances, AMarginItselfIsTooMuchOfATask) {
  std::vector<SweepPoint> points = found();
  check_tolerances(tolerances({"piqa=2"}), "eval.json", points);
  EXPECT_FALSE(points[1].within());
  EXPECT_EQ(smallest_within(points), nullptr);
}

TEST(Tolerances, WhatBreaksIsSaidWithItsInterval) {
  SweepView view{.out = "out", .points = found(), .tolerances = tolerances({"piqa=1"}, {}, 0.04)};
  check_tolerances(view.tolerances, "eval.json", view.points);
  const std::vector<std::string> sentences = explain_sweep(view);
  ASSERT_EQ(sentences.size(), 3U);
  EXPECT_EQ(sentences[0],
            "no number of KV heads is within every tolerance (loss 0.04 nats a token, piqa acc 1 "
            "point) by the upper ends of the 95 % intervals");
  EXPECT_EQ(sentences[1],
            "4 KV heads: piqa acc lost 0.8 points (-0.2 to 2), its upper end 1 above the tolerance "
            "of 1");
  EXPECT_EQ(sentences[2].substr(0, 23), "nothing was uptrained: ");
  view.tolerances = tolerances({"piqa=3"}, {"passkey=0.6"});
  check_tolerances(view.tolerances, "eval.json", view.points);
  EXPECT_EQ(explain_sweep(view)[0],
            "4 KV heads: the fewest within every tolerance (piqa acc 3 points, passkey 0.6 nats a "
            "token) by the upper ends of the 95 % intervals: piqa acc lost 0.8 points (-0.2 to 2), "
            "passkey lost 0.3 nats a token (0.1 to 0.5)");
}

TEST(Tolerances, AProbeThatTheParentFailsAtSaysNothing) {
  SweepView view{
      .out = "out", .points = found(), .tolerances = tolerances({}, {"passkey=0.6"}, 0.04)};
  check_tolerances(view.tolerances, "eval.json", view.points);
  EXPECT_EQ(explain_sweep(view).size(), 2U);
  view.points[1].result.probes[0].baseline_can = true;
  EXPECT_EQ(explain_sweep(view).size(), 2U);
  view.points[1].result.probes[0].baseline_can = false;
  EXPECT_EQ(explain_sweep(view).at(1),
            "the parent fails at passkey itself: what the others lose of it says nothing");
}

TEST(Tolerances, AScoreThatWasNotComparedIsAnError) {
  std::vector<SweepPoint> points = found();
  points[1].result.paired.reset();
  const ErrorInfo error = expect_error<CheckpointError>(
      "SWEEP_RESULTS", [&] { check_tolerances(tolerances({"piqa=1"}), "eval.json", points); });
  EXPECT_EQ(error.message,
            "eval.json: must have piqa acc of 4 KV heads against the parent's, found none");
  EXPECT_EQ(error.path, "eval.json");
}

}  // namespace
}  // namespace regroup::testing
