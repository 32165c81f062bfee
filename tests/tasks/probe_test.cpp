// Probes ask for what stands in their context, in no more tokens than a model takes.
#include "regroup/tasks/probe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <tuple>

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

  std::vector<ProbeCell> make(std::string_view name, int64_t max_length = 700, uint64_t seed = 1,
                              const ProbeText* text = nullptr) {
    return find_probe(name)->make({.tokenizer = *tokenizer_,
                                   .vocab_size = tokenizer_->vocab_size(),
                                   .max_length = max_length,
                                   .trials = 3,
                                   .seed = seed,
                                   .text = text});
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
  for (const char* name : {"passkey", "niah_single", "niah_multikey", "niah_uuid", "niah_essay",
                           "niah_essay_uuid", "niah_essay_multikey", "phonebook"}) {
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

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), std::istream_iterator<std::string>()};
}

// 100 words: 100 k^-2 / zeta(2) = 60.8, 15.2, 6.8, 3.8, 2.4, 1.7, 1.2, 0.9 for k = 1 to 8. The first word is dots.
TEST_F(Probes, FrequentWordsFollowAZetaDistribution) {
  const auto cells = make("frequent_words", 2048);
  ASSERT_EQ(cells.size(), 3u);
  for (const ProbeCell& cell : cells) {
    for (const TokenRequest& request : cell.requests) {
      const std::string text = text_of(request, false);
      const size_t start = text.find("coded words. ") + 13;
      std::map<std::string, int64_t> counts;
      for (const std::string& word : words_of(text.substr(start, text.find('\n') - start))) {
        ++counts[word];
      }
      const auto n = static_cast<double>(counts.at("...")) + 0.5;
      EXPECT_EQ(counts.size(), std::min<size_t>(counts.size(), cell.length / 50));
      const std::vector<std::string> answer = words_of(text_of(request, true));
      ASSERT_EQ(answer.size(), 3u);
      for (int k = 2; k <= 4; ++k) {
        const std::string& word = answer[static_cast<size_t>(k - 2)];
        EXPECT_EQ(word.size(), 6u);
        EXPECT_NEAR(static_cast<double>(counts.at(word)), n / (k * k), 1) << k;
        counts.erase(word);
      }
      counts.erase("...");
      for (const auto& [word, count] : counts) {
        EXPECT_NEAR(static_cast<double>(count), n / 25, n / 25) << "ranks 5 and on: " << word;
        EXPECT_LT(static_cast<double>(count), n / 16) << word;
      }
    }
  }
}

size_t times(const std::string& text, std::string_view wanted) {
  size_t count = 0;
  for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) {
    ++count;
  }
  return count;
}

// RULER's table: how many needles there are, and of which kind the values are.
TEST_F(Probes, NeedlesAreThoseOfRuler) {
  const std::tuple<const char*, const char*, size_t, bool> cases[] = {
      {"niah_single", "One of the special magic numbers for ", 1, false},
      {"niah_essay", "One of the special magic numbers for ", 1, true},
      {"niah_essay_uuid", "One of the special magic uuids for ", 1, true},
      {"niah_essay_multikey", "One of the special magic numbers for ", 4, true},
      {"niah_multivalue", "One of the special magic numbers for ", 4, true},
      {"niah_multiquery", "One of the special magic numbers for ", 4, true},
  };
  const ProbeText essay{.name = "essay.txt",
                        .digest = {},
                        .sentences = {"A goose flew.", "It was a very long way home."}};
  for (const auto& [name, needle, count, in_text] : cases) {
    SCOPED_TRACE(name);
    const std::string noise = text_of(make(name).back().requests[0], false);
    EXPECT_EQ(times(noise, needle), count);
    EXPECT_GT(times(noise, "The grass is green."), 3u);
    const auto cells = make(name, 700, 1, &essay);
    const std::string text = text_of(cells.back().requests[0], false);
    EXPECT_EQ(times(text, needle), count);
    EXPECT_EQ(times(text, "A goose flew.") > 3, in_text);
    EXPECT_EQ(times(text, "The grass is green.") == 0, in_text);
  }
  const std::string text = text_of(make("niah_multikey", 700, 1, &essay).back().requests[0], false);
  EXPECT_GT(times(text, "One of the special magic numbers for "), 8u);
  EXPECT_EQ(times(text, "goose"), 0u);
}

// Sentences of a text are not equally long: the length is filled all the same, to the longest of them.
TEST_F(Probes, TextsOfUnequalSentencesFillTheLength) {
  ProbeText essay{.name = "essay.txt", .digest = {}, .sentences = {}};
  for (int i = 0; i < 400; ++i) {
    std::string sentence = "It";
    for (int word = 0; word < (i < 20 ? 1 : i % 17); ++word) sentence += " went on";
    essay.sentences.push_back(sentence + ".");
  }
  for (const ProbeCell& cell : make("niah_essay", 2048, 1, &essay)) {
    for (const TokenRequest& request : cell.requests) {
      const auto tokens = static_cast<int64_t>(request.ids.size());
      EXPECT_LE(tokens, cell.length);
      EXPECT_GT(tokens, cell.length - 40);
    }
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
