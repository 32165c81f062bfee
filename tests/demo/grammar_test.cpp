#include "demo/grammar.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "demo/story_reader.h"
#include "demo/tokenizer_training.h"
#include "regroup/base/error.h"

namespace regroup::demo {
namespace {

std::vector<std::string> split(const std::string& corpus) {
  std::vector<std::string> documents;
  for (size_t start = 0; start < corpus.size();) {
    const size_t stop = corpus.find(kSeparator, start);
    documents.push_back(corpus.substr(start, stop - start));
    start = stop + kSeparator.size();
  }
  return documents;
}

std::string make_train(uint64_t seed, int64_t bytes) {
  std::unordered_set<std::string> seen;
  return make_corpus(seed, Split::kTrain, bytes, seen);
}

TEST(Grammar, TheSameSeedGivesTheSameBytes) {
  EXPECT_EQ(make_train(7, 50'000), make_train(7, 50'000));
  EXPECT_NE(make_train(7, 50'000), make_train(8, 50'000));
  EXPECT_NE(make_document(1), make_document(2));
}

TEST(Grammar, TheFirstDocumentIsTheSameOnEveryMachine) {
  EXPECT_EQ(make_document(1),
            "That day Ella was on the terrace. Ella had brought a cream bracelet. Ella had a "
            "silver umbrella. Emma was on the terrace with a golden fan. Emma still had the golden "
            "fan. Ella still had the silver umbrella. Emma passed the golden fan to Ella. What "
            "does Emma have? Emma has nothing. What colour is the umbrella? The umbrella is "
            "silver. What does Ella have? Ella has the golden fan, the cream bracelet and the "
            "silver umbrella. Where can we see the golden fan? We can see it on the terrace.");
}

TEST(Grammar, EveryAnswerIsRightGivenTheText) {
  int answers = 0;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    const std::string document = make_document(seed);
    Reader reader;
    ASSERT_EQ(reader.judge(document), "") << document;
    ASSERT_GE(reader.answers(), 3) << document;
    answers += reader.answers();
  }
  EXPECT_GT(answers, 2000 * 3);
}

// The reader must be able to fail: the same story with one word changed.
TEST(Grammar, AWrongAnswerIsNoticed) {
  const std::string story =
      "Tom was in the barn. Tom had a red kite. Anna sat in the barn. "
      "Tom gave the red kite to Anna. ";
  EXPECT_EQ(Reader().judge(story + "Who has the red kite? Anna has the red kite."), "");
  EXPECT_EQ(Reader().judge(story + "Who has the red kite? Tom has the red kite."),
            "Who has the red kite? Tom has the red kite.");
  EXPECT_EQ(Reader().judge(story + "Where is Tom? Tom is at the mill."),
            "Where is Tom? Tom is at the mill.");
  EXPECT_EQ(Reader().judge(story + "What does Tom have? Tom has the red kite."),
            "What does Tom have? Tom has the red kite.");
  EXPECT_EQ(Reader().judge(story + "Tom gave the red kite to Anna."),
            "contradicts what was told: Tom gave the red kite to Anna.");
}

TEST(Grammar, ADocumentIsOneLineOfPlainText) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    const std::string document = make_document(seed);
    EXPECT_EQ(document.find_first_of("\n\t{}<|>"), std::string::npos) << document;
    EXPECT_EQ(document.find("  "), std::string::npos) << document;
    EXPECT_TRUE(document.ends_with('.')) << document;
    EXPECT_GE(document.size(), 250u) << document;
    EXPECT_LE(document.size(), 650u) << document;
  }
}

TEST(Grammar, SplitsShareNoDocument) {
  std::unordered_set<std::string> seen;
  const auto train = split(make_corpus(1, Split::kTrain, 300'000, seen));
  const auto valid = split(make_corpus(1, Split::kValid, 100'000, seen));
  std::set<std::string> documents(train.begin(), train.end());
  documents.insert(valid.begin(), valid.end());
  EXPECT_EQ(documents.size(), train.size() + valid.size());
  EXPECT_EQ(documents.size(), seen.size());
}

TEST(Grammar, ACorpusFillsItsSize) {
  const std::string corpus = make_train(3, 100'000);
  EXPECT_LE(corpus.size(), 100'000u);
  EXPECT_GT(corpus.size(), 100'000u - 700u);  // the next document did not fit
  EXPECT_TRUE(corpus.ends_with(".\n<|endoftext|>\n"));
}

TEST(TokenizerTraining, TheSameCorpusGivesTheSameBytes) {
  const std::string corpus = make_train(1, 100'000);
  EXPECT_EQ(train_tokenizer(corpus, 512), train_tokenizer(corpus, 512));
}

TEST(TokenizerTraining, RefusesAVocabularyThatDoesNotFit) {
  const std::string corpus = make_train(1, 20'000);
  try {
    train_tokenizer(corpus, 100);
    ADD_FAILURE() << "accepted";
  } catch (const ConfigError& error) {
    EXPECT_STREQ(error.what(),
                 "--vocab-size must fit the corpus, found 100: Vocabulary size is smaller than "
                 "required_chars");
  }
}

}  // namespace
}  // namespace regroup::demo
