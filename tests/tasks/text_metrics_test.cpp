// ROUGE, BLEU and the comparison of answers. Values printed by rouge_score, sacreBLEU and SQuAD's script.
#include "text_metrics.h"

#include <gtest/gtest.h>

namespace regroup::testing {
namespace {

constexpr const char* kFox = "The quick brown fox jumps over the lazy dog";
constexpr const char* kLog = "The quick brown dog jumps on the log.";

TEST(Rouge, GramsAndTheLongestSubsequence) {
  const OverlapScore one = rouge_n(kFox, kLog, 1);
  EXPECT_NEAR(one.precision, 0.75, 1e-12);
  EXPECT_NEAR(one.recall, 2.0 / 3, 1e-12);
  EXPECT_NEAR(one.f1, 0.705882, 1e-6);
  EXPECT_NEAR(rouge_n(kFox, kLog, 2).f1, 0.266667, 1e-6);
  const OverlapScore l = rouge_l(kFox, kLog);
  EXPECT_NEAR(l.precision, 0.625, 1e-12);
  EXPECT_NEAR(l.recall, 5.0 / 9, 1e-12);
  EXPECT_NEAR(l.f1, 0.588235, 1e-6);
}

TEST(Rouge, NothingInCommon) {
  EXPECT_EQ(rouge_n("a b", "c d", 1).f1, 0);
  EXPECT_EQ(rouge_n("", "", 1).f1, 0);
  EXPECT_EQ(rouge_l("a b", "").f1, 0);
  EXPECT_EQ(rouge_n("a", "a", 2).f1, 0);
}

TEST(Bleu, OfACorpus) {
  const std::vector<std::string> said = {"The dog bit the man.", "It was not unexpected.",
                                         "The man bit him first."};
  const std::vector<std::string> wanted = {"The dog bit the man.", "It was not unexpected.",
                                           "The man had bitten the dog."};
  EXPECT_NEAR(corpus_bleu(said, wanted), 65.57486, 1e-5);
  EXPECT_NEAR(corpus_bleu(wanted, wanted), 100, 1e-9);
  EXPECT_EQ(corpus_bleu({"x y z w"}, {"a b c d"}), 0);
  EXPECT_EQ(corpus_bleu({"a b"}, {"a b"}), 0);  // no gram of four
}

TEST(Bleu, Tokenizer13a) {
  EXPECT_EQ(tokenize_13a("Hello, world! It's 3.14-based (A&amp;B) 1,000."),
            "Hello , world ! It's 3.14 - based ( A & B ) 1,000 .");
}

TEST(Answers, AreComparedWithoutArticlesAndMarks) {
  EXPECT_EQ(normalized_answer("The  Eiffel-Tower!", QaRules::kTriviaQa), "eiffel tower");
  EXPECT_EQ(normalized_answer("The  Eiffel-Tower!", QaRules::kSquad), "eiffeltower");
  EXPECT_EQ(normalized_answer("Rock \xE2\x80\x99n\xE2\x80\x99 roll", QaRules::kTriviaQa),
            "rock n roll");
  EXPECT_EQ(exact_answer({"Paris", "the city of Paris"}, "City of Paris.", QaRules::kSquad), 1);
  EXPECT_EQ(exact_answer({"Paris"}, "London", QaRules::kSquad), 0);
}

TEST(Answers, F1OfWords) {
  // Two of three words, two of two.
  EXPECT_NEAR(answer_f1({"Albert Einstein"}, "Albert Einstein himself", QaRules::kSquad), 0.8,
              1e-12);
  EXPECT_NEAR(answer_f1({"x", "Albert Einstein"}, "Einstein", QaRules::kSquad), 2.0 / 3, 1e-12);
  EXPECT_EQ(answer_f1({"x"}, "y", QaRules::kTriviaQa), 0);
}

}  // namespace
}  // namespace regroup::testing
