#include <algorithm>
#include <map>

#include "regroup/text/python_text.h"
#include "text_metrics.h"
#include "text_metrics/words.h"

namespace regroup {
namespace {

template <typename Score>
double best_of(const std::vector<std::string>& targets, const Score& score) {
  double best = 0;
  for (const std::string& target : targets) best = std::max(best, score(target));
  return best;
}

}  // namespace

std::string normalized_answer(std::string_view text, QaRules rules) {
  const bool trivia = rules == QaRules::kTriviaQa;
  std::string plain = python_lower(text);
  if (trivia) {  // quotation marks of print count as punctuation there
    for (const char* mark : {"\xE2\x80\x98", "\xE2\x80\x99", "\xC2\xB4"}) {
      plain = python_replace(plain, mark, " ");
    }
  }
  std::string kept;
  for (const char c : plain) {
    if (!is_punctuation(c)) {
      kept += c;
    } else if (trivia) {
      kept += ' ';
    }
  }
  std::string out;
  for (const std::string& word : split_words(kept)) {
    if (word == "a" || word == "an" || word == "the") continue;
    out += (out.empty() ? "" : " ") + word;
  }
  return out;
}

double exact_answer(const std::vector<std::string>& targets, std::string_view prediction,
                    QaRules rules) {
  const std::string said = normalized_answer(prediction, rules);
  return best_of(targets, [&](const std::string& target) {
    return normalized_answer(target, rules) == said ? 1.0 : 0.0;
  });
}

double answer_f1(const std::vector<std::string>& targets, std::string_view prediction,
                 QaRules rules) {
  const auto said = split_words(normalized_answer(prediction, rules));
  std::map<std::string, int64_t> counts;
  for (const std::string& word : said) ++counts[word];
  return best_of(targets, [&](const std::string& target) {
    const auto wanted = split_words(normalized_answer(target, rules));
    auto left = counts;
    double shared = 0;
    for (const std::string& word : wanted) {
      if (left[word]-- > 0) ++shared;
    }
    if (shared == 0) return 0.0;
    const double precision = shared / static_cast<double>(said.size());
    const double recall = shared / static_cast<double>(wanted.size());
    return 2 * precision * recall / (precision + recall);
  });
}

}  // namespace regroup
