// Answers in words: GSM8K's two filters, aliases, and forms of questions. Expected values were printed by lm-evaluation-harness's
// filters.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "regroup/tasks/task_scores.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

bool strict(const std::string& answer, const std::string& target) {
  return measure_text(Measure::kStrictMatch, {.targets = {target}}, answer) == 1;
}
bool flexible(const std::string& answer, const std::string& target) {
  return measure_text(Measure::kFlexibleMatch, {.targets = {target}}, answer) == 1;
}

TEST(Generated, NumbersOfGsm8k) {
  struct Case {
    const char* answer;
    const char* strict;
    const char* flexible;
  };
  const Case cases[] = {{"so 2*4 = 8\n#### 8", "8", "8"},
                        {"#### -1,234.5 and #### 7", "-1234.5", "7"},
                        {"#### x, then 12", "[invalid]", "12"},
                        {"It costs $1,200.", "[invalid]", "1200"},
                        {"5", "[invalid]", "5"},
                        {"-5 or 6-", "[invalid]", "6"},
                        {"no number", "[invalid]", "[invalid]"},
                        {"...", "[invalid]", "..."},
                        {"a - b", "[invalid]", "[invalid]"},
                        {"#### $18", "[invalid]", "18"},
                        {"The answer is 3.0.", "[invalid]", "3.0"},
                        {"#### 1.", "1", "1"}};
  for (const Case& c : cases) {
    EXPECT_TRUE(strict(c.answer, c.strict)) << c.answer;
    EXPECT_TRUE(flexible(c.answer, c.flexible)) << c.answer;
  }
  EXPECT_TRUE(strict("#### 8", "2 * 4 = <<2*4=8>>8\n#### 8")) << "the whole solution is the target";
  EXPECT_FALSE(strict("#### 8", "#### 9"));
}

TEST(Generated, AliasesButForCaseAndPunctuation) {
  const TaskQuestion question{.targets = {"Jane Austen", "Austen"}};
  EXPECT_EQ(measure_text(Measure::kAliasMatch, question, " jane austen! "), 1);
  EXPECT_EQ(measure_text(Measure::kAliasMatch, question, "Miss Austen"), 0);
  EXPECT_EQ(measure_text(Measure::kAnswerMatch, {.targets = {"Tower"}}, "The tower."), 1);
  EXPECT_EQ(measure_text(Measure::kRouge1, {.targets = {"x", "a b"}}, "a b"), 1);
}

TEST(Generated, QuestionsOfYourOwn) {
  const TemporaryFolder folder;
  const Task task = open_task(
      folder.write(
          "mine.jsonl",
          R"({"context": "Q: capital?\nA:", "targets": ["Paris", "paris"]})"
          "\n"
          R"({"context": "Sum:", "targets": ["s"], "until": ["##"], "max_new_tokens": 9})"),
      {});
  EXPECT_EQ(task.definition.kind, TaskKind::kGenerate);
  EXPECT_EQ(task.requests[0][0].first, "Q: capital?\nA:");
  EXPECT_EQ(task.questions[0].until, std::vector<std::string>{"\n"});
  EXPECT_EQ(task.questions[1].until, std::vector<std::string>{"##"});
  EXPECT_EQ(task.questions[1].max_new_tokens, 9);
  const auto rows = summarize_task(task, {.scores = {}, .texts = {"Paris is the town", "s"}}, 0);
  ASSERT_EQ(rows[0].scores.size(), 6u);
  EXPECT_EQ(rows[0].scores[0].value, 0.5);                     // exact_match
  EXPECT_NEAR(rows[0].scores[1].value, (0.5 + 1) / 2, 1e-12);  // f1: one of three words, one of one
  EXPECT_FALSE(rows[0].scores[5].error.has_value());           // bleu
}

TEST(Generated, BadRecords) {
  const TemporaryFolder folder;
  for (const char* record :
       {R"({"context": "x", "targets": []})", R"({"context": "x", "targets": ["a"], "until": "b"})",
        R"({"context": "x", "targets": ["a"], "max_new_tokens": 0})",
        R"({"context": "x", "targets": ["a"], "max_new_tokens": 1e9})"}) {
    const std::string path = folder.write("bad.jsonl", record);
    expect_error<CheckpointError>("TASK_SCHEMA", [&] { open_task(path, {}); });
  }
}

}  // namespace
}  // namespace regroup::testing
