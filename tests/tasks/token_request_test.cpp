// Requests as tokens: where a continuation begins, what is cut, and windows over a text.
#include "regroup/tasks/token_request.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/temporary_folder.h"
#include "support/tiny_tokenizer_json.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int64_t>;

constexpr int64_t kEnd = 6;

class Requests : public ::testing::Test {
 protected:
  /// @param bos  "<|end|>" stands in front of every text
  Tokenizer tokenizer(bool bos, bool has_ends = true) {
    OrderedJson json = tiny_tokenizer_json();
    if (bos) json["post_processor"] = front_template("<|end|>", 6);
    folder_.write("tokenizer.json", json.dump());
    folder_.write("tokenizer_config.json",
                  has_ends ? R"({"bos_token": "<|end|>", "eos_token": "<|end|>"})" : "{}");
    return Tokenizer::open(folder_.path());
  }

  static Task task_of(std::vector<std::pair<std::string, std::string>> requests,
                      TaskKind kind = TaskKind::kMultipleChoice) {
    Task task;
    task.name = "mine";
    task.definition.kind = kind;
    task.requests = {std::move(requests)};
    return task;
  }

  static Ids scored(const TokenRequest& request) {
    return {request.ids.end() - request.scored, request.ids.end()};
  }

  TemporaryFolder folder_;
};

TEST_F(Requests, AContinuationIsCutFromTheWhole) {
  const auto encoded = encode_task(task_of({{"b", " ab"}, {"b", " a"}}), tokenizer(false), 100);
  ASSERT_EQ(encoded.requests.size(), 2u);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{1, 4}));
  EXPECT_EQ(scored(encoded.requests[0]), Ids{4});
  EXPECT_EQ(encoded.requests[1].ids, (Ids{1, 2, 0}));
  EXPECT_EQ(scored(encoded.requests[1]), (Ids{2, 0}));
}

TEST_F(Requests, SpaceAtTheEndOfAContextCountsToTheContinuation) {
  const auto encoded = encode_task(task_of({{"b \n ", "ab"}}), tokenizer(false), 100);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{1, 2, 5, 4}));
  EXPECT_EQ(scored(encoded.requests[0]), (Ids{2, 5, 4}));
}

// "a" and "b" make one token, so that nothing of the context's own token is left: as lm-evaluation-harness counts.
TEST_F(Requests, ATokenOverTheSeamCountsToTheContext) {
  const auto encoded = encode_task(task_of({{"a", "bb"}}), tokenizer(false), 100);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{0, 1}));
  EXPECT_EQ(scored(encoded.requests[0]), Ids{1});
}

TEST_F(Requests, BosStandsInFrontOfBoth) {
  const auto encoded = encode_task(task_of({{"b", " ab"}}), tokenizer(true), 100);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{kEnd, 1, 4}));
  EXPECT_EQ(scored(encoded.requests[0]), Ids{4});
}

TEST_F(Requests, WithoutAContextBosIsOne) {
  const auto encoded = encode_task(task_of({{"", "ab"}}), tokenizer(true), 100);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{kEnd, 3}));
  EXPECT_EQ(scored(encoded.requests[0]), Ids{3});
}

TEST_F(Requests, WhiteSpaceIsNoContext) {
  const auto encoded = encode_task(task_of({{" \n", "ab"}, {" ", "a"}}), tokenizer(false), 100);
  EXPECT_EQ(encoded.requests[0].ids, (Ids{kEnd, 2, 5, 3}));
  EXPECT_EQ(scored(encoded.requests[0]), (Ids{2, 5, 3}));
  for (const TokenRequest& request : encoded.requests) {
    EXPECT_GT(static_cast<int64_t>(request.ids.size()), request.scored);
  }
}

TEST_F(Requests, WhatIsTooLongLosesItsStart) {
  const Task task = task_of({{"aabb", " ab"}, {"b", " ab"}});
  const auto encoded = encode_task(task, tokenizer(false), 2);
  EXPECT_EQ(encoded.requests[0].ids.size(), 3u);  // two are fed
  EXPECT_EQ(encoded.truncated, 1);
  EXPECT_EQ(scored(encoded.requests[0]), Ids{4});
}

TEST_F(Requests, AQuestionWithAContinuationThatIsTooLongIsNotAsked) {
  Task task = task_of({{"aabb", " ab"}, {"b", " a a a"}, {"b", " ab"}});
  task.requests.push_back({{"aabb", " ab"}, {"b", " ab"}});
  const auto encoded = encode_task(task, tokenizer(false), 2);
  ASSERT_EQ(encoded.too_long.size(), 1u);
  EXPECT_EQ(encoded.too_long[0].item, 0u);
  EXPECT_EQ(encoded.too_long[0].tokens, 6);
  ASSERT_EQ(encoded.requests.size(), 2u);
  EXPECT_EQ(encoded.requests[0].item, 1u);
  EXPECT_EQ(encoded.truncated, 1) << "of the one that is asked";
  EXPECT_TRUE(encode_task(task, tokenizer(false), 6).too_long.empty()) << "six are fed";
}

TEST_F(Requests, AContinuationWithoutATokenIsRefused) {
  expect_error<CheckpointError>("TASK_SCHEMA", [&] {
    encode_task(task_of({{"a", "b"}}), tokenizer(false), 9);
  });
}

// The windows of tokens 0 to 9 that lm-evaluation-harness makes at a context of 4, here with ids 0 and 1.
TEST_F(Requests, WindowsPredictEveryTokenOnce) {
  const Task task = task_of({{"", "abbbbbbbbb"}}, TaskKind::kRolling);  // 3, then eight times 1
  const auto encoded = encode_task(task, tokenizer(false), 4);
  const std::vector<std::pair<Ids, int64_t>> expected = {
      {{kEnd, 3, 1, 1, 1}, 4}, {{1, 1, 1, 1, 1}, 4}, {{1, 1, 1, 1, 1}, 1}};
  ASSERT_EQ(encoded.requests.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(encoded.requests[i].ids, expected[i].first) << i;
    EXPECT_EQ(encoded.requests[i].scored, expected[i].second) << i;
    EXPECT_EQ(encoded.requests[i].item, 0u);
  }
  const auto summed = scores_by_item(task, encoded, {{-1, true}, {-2, true}, {-4, false}});
  EXPECT_EQ(summed[0].size(), 1u);
  EXPECT_EQ(summed[0][0].log_likelihood, -7);
}

TEST_F(Requests, TheHarnessPutsTwoBosBeforeAText) {
  const Task task = task_of({{"", "ab"}}, TaskKind::kRolling);
  EXPECT_EQ(encode_task(task, tokenizer(true), 9).requests[0].ids, (Ids{kEnd, kEnd, 3}));
  EXPECT_EQ(encode_task(task, tokenizer(true), 9, BosMode::kOneBos).requests[0].ids,
            (Ids{kEnd, 3}));
}

TEST_F(Requests, WithoutBosAndEosNothingCanStandThere) {
  expect_error<CheckpointError>("TOK_BOS", [&] {
    encode_task(task_of({{"", "ab"}}), tokenizer(false, false), 9);
  });
}

}  // namespace
}  // namespace regroup::testing
