#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// Precision, recall and their harmonic mean, in [0, 1].
struct OverlapScore {
  double precision = 0;
  double recall = 0;
  double f1 = 0;
};

/// ROUGE-N and ROUGE-L (Lin, ACL 2004) as google-research's rouge_score computes them without a stemmer: lower case, letters
/// and digits of ASCII.
OverlapScore rouge_n(std::string_view target, std::string_view prediction, int n);
OverlapScore rouge_l(std::string_view target, std::string_view prediction);

/// Corpus BLEU (Papineni et al., ACL 2002) in [0, 100] as sacreBLEU computes it: 4-grams, tokenizer 13a, mixed case,
/// exponential smoothing, one reference each.
/// Signature: nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp
double corpus_bleu(const std::vector<std::string>& predictions,
                   const std::vector<std::string>& references);
/// Tokens of sacreBLEU's 13a, with spaces between.
std::string tokenize_13a(std::string_view raw);

/// Answers to questions as T5's qa_utils and SQuAD's script compare them: lower case, without punctuation and articles.
enum class QaRules : uint8_t {
  kTriviaQa,  ///< punctuation becomes a space
  kSquad      ///< punctuation goes
};
std::string normalized_answer(std::string_view text, QaRules rules);
/// 1 if the answers are the same, and the F1 of their words; the best over all `targets`.
double exact_answer(const std::vector<std::string>& targets, std::string_view prediction,
                    QaRules rules);
double answer_f1(const std::vector<std::string>& targets, std::string_view prediction,
                 QaRules rules);

}  // namespace regroup
