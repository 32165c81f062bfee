// What answers are worth, with values worked out by hand or printed by lm-evaluation-harness.
#include "regroup/tasks/task_scores.h"

#include <gtest/gtest.h>

#include <cmath>

namespace regroup::testing {
namespace {

std::vector<RequestScore> scores(std::initializer_list<double> values) {
  std::vector<RequestScore> all;
  for (const double value : values) all.push_back({value, value > -1});
  return all;
}

const TaskQuestion kQuestion{.contexts = {"x"}, .choices = {"ab", "abcd", "日本"}, .gold = {1}};

TEST(Measures, TheLikeliestChoice) {
  EXPECT_EQ(measure_item(Measure::kAccuracy, kQuestion, scores({-3, -2, -4})), 1);
  EXPECT_EQ(measure_item(Measure::kAccuracy, kQuestion, scores({-1, -2, -4})), 0);
}

// Per character -1, -0.75, -2; per byte -1, -0.75, -0.667.
TEST(Measures, LengthsAreCharactersOrBytes) {
  EXPECT_EQ(measure_item(Measure::kAccuracyNorm, kQuestion, scores({-2, -3, -4})), 1);
  EXPECT_EQ(measure_item(Measure::kAccuracyBytes, kQuestion, scores({-2, -3, -4})), 0);
}

TEST(Measures, OfEquallyLikelyChoicesTheFirstIsTaken) {
  EXPECT_EQ(measure_item(Measure::kAccuracy, kQuestion, scores({-2, -2, -2})), 0);
}

TEST(Measures, OneOfSeveralRightAnswersIsEnough) {
  TaskQuestion question = kQuestion;
  question.gold = {0, 2};
  EXPECT_EQ(measure_item(Measure::kAccuracy, question, scores({-3, -2, -1})), 1);
  EXPECT_EQ(measure_item(Measure::kAccuracy, question, scores({-3, -1, -2})), 0);
}

TEST(Measures, ShareOfTheRightAnswers) {
  TaskQuestion question = kQuestion;
  question.gold = {0, 1};
  const double right = std::exp(-1) + std::exp(-2);
  EXPECT_NEAR(measure_item(Measure::kRightMass, question, scores({-1, -2, -3})),
              right / (right + std::exp(-3)), 1e-15);
}

TEST(Measures, ShareOfAnswersThatAreAllUnlikely) {
  TaskQuestion question = kQuestion;
  question.gold = {0};
  EXPECT_NEAR(measure_item(Measure::kRightMass, question, scores({-2000, -2000, -4000})), 0.5,
              1e-12);
}

TEST(Measures, SeveralContextsShareOneContinuation) {
  const TaskQuestion question{.contexts = {"a", "b"}, .choices = {"went off"}, .gold = {1}};
  EXPECT_EQ(measure_item(Measure::kAccuracy, question, scores({-3, -2})), 1);
}

TEST(Aggregate, MeanWithItsStandardError) {
  const TaskScore score = aggregate(Measure::kAccuracy, {1, 0, 1, 1, 0, 1, 0, 1, 1, 1}, {}, 0);
  EXPECT_DOUBLE_EQ(score.value, 0.7);
  EXPECT_NEAR(score.error.value(), 0.15275252, 1e-8);
}

TEST(Aggregate, OneItemHasNoError) {
  EXPECT_FALSE(aggregate(Measure::kAccuracy, {1}, {}, 0).error.has_value());
}

TEST(Aggregate, PerplexityHasTheHarnessesBootstrap) {
  const std::vector<double> items = {-1, -2, -.5, -3, -.1, -4.2, -2.2, -.9};
  const TaskScore score = aggregate(Measure::kPerplexity, items, {}, 2000);
  EXPECT_NEAR(score.value, 5.68311785, 1e-8);
  EXPECT_NEAR(score.error.value(), 3.13714642, 1e-8);
  EXPECT_FALSE(aggregate(Measure::kPerplexity, items, {}, 0).error.has_value());
}

TEST(Aggregate, TextsCountTheirWordsAndBytes) {
  std::vector<TaskQuestion> questions(2);
  questions[0].counted = "one two";
  questions[1].counted = "three";
  const std::vector<double> items = {-4, -2};
  EXPECT_DOUBLE_EQ(aggregate(Measure::kWordPerplexity, items, questions, 0).value, std::exp(2));
  EXPECT_DOUBLE_EQ(aggregate(Measure::kBytePerplexity, items, questions, 0).value, std::exp(0.5));
  EXPECT_DOUBLE_EQ(aggregate(Measure::kBitsPerByte, items, questions, 0).value, 0.5 / std::log(2));
}

/// A task of `sizes` items a part; of each part the first `right` are right.
TEST(Summaries, PartsAreWeightedBySize) {
  Task task;
  task.name = "mmlu";
  static constexpr Measure kMeasures[] = {Measure::kAccuracy};
  task.definition.measures = kMeasures;
  std::vector<std::vector<RequestScore>> answers;
  const auto add = [&](const char* part, int n, int right) {
    for (int i = 0; i < n; ++i) {
      task.questions.push_back(
          {.contexts = {"x"}, .choices = {"a", "b"}, .gold = {i < right ? 0 : 1}, .part = part});
      answers.push_back(scores({-1, -2}));
    }
  };
  add("anatomy", 10, 7);
  add("philosophy", 4, 1);
  const auto rows = summarize_task(task, {.scores = answers}, 0);
  ASSERT_EQ(rows.size(), 5u);
  EXPECT_EQ(rows[0].name, "mmlu_anatomy");
  EXPECT_EQ(rows[1].name, "mmlu_philosophy");
  EXPECT_EQ(rows[2].name, "mmlu_humanities");
  EXPECT_EQ(rows[3].name, "mmlu_stem");
  EXPECT_EQ(rows[4].name, "mmlu");
  EXPECT_DOUBLE_EQ(rows[3].scores[0].value, 0.7);
  EXPECT_DOUBLE_EQ(rows[4].scores[0].value, 8.0 / 14);
  // Sample variances 0.21 * 10 / 9 and 0.1875 * 4 / 3, pooled with 12 degrees of freedom.
  const double pooled = (9 * 0.21 * 10 / 9 + 3 * 0.1875 * 4 / 3) / 12;
  EXPECT_NEAR(rows[4].scores[0].error.value(), std::sqrt(pooled / 14), 1e-12);
}

}  // namespace
}  // namespace regroup::testing
