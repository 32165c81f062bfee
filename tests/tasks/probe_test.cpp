// Probes ask for what stands in their context, in no more tokens than a model takes.
#include "regroup/tasks/probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "probes/probes.h"
#include "regroup/base/path.h"
#include "support/expect_error.h"
#include "support/temporary_folder.h"

namespace regroup::testing {
namespace {

constexpr const char* kTokenizer = "../shared/tokenizers/llama/tokenizer.model";

class Probes : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!path_exists(kTokenizer)) GTEST_SKIP() << "no " << kTokenizer;
    std::filesystem::copy_file(kTokenizer, folder_ / "tokenizer.model");
    tokenizer_.emplace(Tokenizer::open(folder_.path()));
  }

  std::vector<ProbeCell> make(std::string_view name, int64_t max_length = 700, uint64_t seed = 1) {
    return find_probe(name)->make({.tokenizer = *tokenizer_,
                                   .vocab_size = tokenizer_->vocab_size(),
                                   .max_length = max_length,
                                   .trials = 3,
                                   .seed = seed});
  }

  std::string text_of(const TokenRequest& request, bool answer) const {
    const auto cut = request.ids.end() - request.scored;
    const std::vector<int32_t> ids = answer ? std::vector<int32_t>(cut, request.ids.end())
                                            : std::vector<int32_t>(request.ids.begin(), cut);
    return tokenizer_->decode(ids);
  }

  TemporaryFolder folder_;
  std::optional<Tokenizer> tokenizer_;
};

TEST_F(Probes, AreMadeForEveryLengthAndFit) {
  for (const ProbeDefinition* probe : probe_definitions()) {
    SCOPED_TRACE(probe->name);
    const auto cells = make(probe->name);
    EXPECT_FALSE(cells.empty());
    std::set<int64_t> lengths;
    for (const ProbeCell& cell : cells) {
      lengths.insert(cell.length);
      EXPECT_EQ(cell.requests.size(), 3 * cell.choices);
      for (size_t i = 0; i < cell.requests.size(); ++i) {
        const TokenRequest& request = cell.requests[i];
        EXPECT_LE(request.ids.size(), 701u);
        EXPECT_GE(request.scored, 1);
        EXPECT_EQ(request.item, i / cell.choices);
        if (cell.depth) {
          EXPECT_LE(static_cast<int64_t>(request.ids.size()), cell.length);
        }
      }
    }
    EXPECT_GE(lengths.size(), 2u);
  }
}

TEST_F(Probes, FollowFromTheSeed) {
  for (const ProbeDefinition* probe : probe_definitions()) {
    const auto first = make(probe->name);
    const auto again = make(probe->name);
    const auto other = make(probe->name, 700, 2);
    EXPECT_EQ(first.back().requests[0].ids, again.back().requests[0].ids) << probe->name;
    EXPECT_NE(first.back().requests[0].ids, other.back().requests[0].ids) << probe->name;
  }
}

TEST_F(Probes, TheAnswerStandsInTheText) {
  for (const char* name : {"passkey", "niah_single", "niah_multikey", "niah_uuid", "phonebook"}) {
    for (const ProbeCell& cell : make(name)) {
      for (const TokenRequest& request : cell.requests) {
        std::string answer = text_of(request, true);
        answer.erase(0, answer.find_first_not_of(' '));
        const std::string text = text_of(request, false);
        EXPECT_NE(text.find(answer), std::string::npos) << name << ": " << answer;
      }
    }
  }
}

// At depth 0 the key stands before all filling, at depth 1 behind it.
TEST_F(Probes, DepthIsAPlace) {
  for (const ProbeCell& cell : make("passkey")) {
    const std::string text = text_of(cell.requests[0], false);
    const size_t key = text.find("The pass key is");
    const size_t first = text.find("The grass is green.");
    if (cell.depth == 0.0) {
      EXPECT_LT(key, first);
    }
    if (cell.depth == 1.0 && cell.length > 128) {
      EXPECT_GT(key, first);
    }
    const double at = static_cast<double>(key) / static_cast<double>(text.size());
    if (cell.length == 512) {
      EXPECT_NEAR(at, 0.1 + 0.8 * *cell.depth, 0.12) << *cell.depth;
    }
  }
}

TEST_F(Probes, LongerLengthsAreFilled) {
  for (const ProbeCell& cell : make("passkey")) {
    EXPECT_GT(static_cast<int64_t>(cell.requests[0].ids.size()), cell.length - 16);
  }
}

TEST_F(Probes, RecallIsAChoiceAmongTheValues) {
  const ProbeCell cell = make("mqar").front();
  EXPECT_EQ(cell.count, 4);
  ASSERT_EQ(cell.choices, 4u);
  const auto& right = cell.requests[0].ids;
  const int64_t key = right[right.size() - 2];
  const auto asked = std::find(right.begin(), right.end() - 2, key);
  EXPECT_EQ(*(asked + 1), right.back()) << "the value behind the key that is asked for";
  std::set<int64_t> values;
  for (size_t i = 0; i < 4; ++i) values.insert(cell.requests[i].ids.back());
  EXPECT_EQ(values.size(), 4u);
}

TEST(ProbeScores, MeansOverTrials) {
  ProbeCell cell{.length = 8, .depth = {}, .count = {}, .requests = {}};
  for (const int64_t scored : {2, 4}) {
    cell.requests.push_back({.ids = {1, 2, 3, 4, 5}, .scored = scored, .item = 0});
  }
  const RequestScore scores[] = {{.log_likelihood = -2, .greedy = true, .matched = 2},
                                 {.log_likelihood = -8, .greedy = false, .matched = 1}};
  const ProbeScore score = score_cell(cell, scores);
  EXPECT_EQ(score.trials, 2);
  EXPECT_DOUBLE_EQ(score.log_prob, -1.5);
  EXPECT_DOUBLE_EQ(score.log_prob_error, 0.5);
  EXPECT_DOUBLE_EQ(score.accuracy, 0.5);
}

TEST(ProbeScores, OfChoicesTheRightOneMustBeTheLikeliest) {
  ProbeCell cell{.length = 4, .depth = {}, .count = 2, .requests = {}, .choices = 2};
  for (int i = 0; i < 4; ++i) cell.requests.push_back({.ids = {1, 2}, .scored = 1, .item = 0});
  const RequestScore scores[] = {{.log_likelihood = -1},
                                 {.log_likelihood = -2},
                                 {.log_likelihood = -1},
                                 {.log_likelihood = -1}};
  const ProbeScore score = score_cell(cell, scores);
  EXPECT_EQ(score.trials, 2);
  EXPECT_DOUBLE_EQ(score.accuracy, 0.5);  // a tie is no answer
}

TEST(ProbeNames, AllAndNeighbours) {
  EXPECT_EQ(choose_probes({"all"}).size(), probe_definitions().size());
  EXPECT_EQ(choose_probes({"passkey", "all", "passkey"}).size(), probe_definitions().size());
  EXPECT_EQ(choose_probes({"passkey", "mqar", "mqar"}).size(), 2u);
  EXPECT_TRUE(choose_probes({}).empty());
  const ErrorInfo error =
      expect_error<ConfigError>("PROBE_UNKNOWN", [] { choose_probes({"paskey"}); });
  EXPECT_EQ(error.hint, "did you mean passkey?");
}

}  // namespace
}  // namespace regroup::testing
