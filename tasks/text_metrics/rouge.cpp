#include <algorithm>
#include <map>

#include "text_metrics.h"

namespace regroup {
namespace {

using Words = std::vector<std::string>;

/// Runs of lower-case ASCII letters and digits.
Words words_of(std::string_view text) {
  Words words(1);
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    const bool kept = upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (kept) {
      words.back() += upper ? static_cast<char>(c - 'A' + 'a') : c;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  }
  if (words.back().empty()) words.pop_back();
  return words;
}

std::map<Words, int64_t> grams_of(const Words& words, int n) {
  std::map<Words, int64_t> grams;
  for (size_t i = 0; i + static_cast<size_t>(n) <= words.size(); ++i) {
    ++grams[Words(words.begin() + static_cast<int64_t>(i),
                  words.begin() + static_cast<int64_t>(i) + n)];
  }
  return grams;
}

OverlapScore score_of(int64_t shared, int64_t target, int64_t prediction) {
  OverlapScore score;
  score.precision =
      static_cast<double>(shared) / static_cast<double>(std::max<int64_t>(1, prediction));
  score.recall = static_cast<double>(shared) / static_cast<double>(std::max<int64_t>(1, target));
  const double sum = score.precision + score.recall;
  score.f1 = sum > 0 ? 2 * score.precision * score.recall / sum : 0;
  return score;
}

int64_t total(const std::map<Words, int64_t>& grams) {
  int64_t sum = 0;
  for (const auto& [gram, count] : grams) sum += count;
  return sum;
}

}  // namespace

OverlapScore rouge_n(std::string_view target, std::string_view prediction, int n) {
  const auto wanted = grams_of(words_of(target), n);
  const auto found = grams_of(words_of(prediction), n);
  int64_t shared = 0;
  for (const auto& [gram, count] : wanted) {
    const auto same = found.find(gram);
    if (same != found.end()) shared += std::min(count, same->second);
  }
  return score_of(shared, total(wanted), total(found));
}

OverlapScore rouge_l(std::string_view target, std::string_view prediction) {
  const Words a = words_of(target);
  const Words b = words_of(prediction);
  std::vector<int64_t> longest(b.size() + 1);  // of the words of `a` so far and each prefix of `b`
  for (const std::string& word : a) {
    int64_t diagonal = 0;
    for (size_t j = 1; j <= b.size(); ++j) {
      const int64_t above = longest[j];
      longest[j] = word == b[j - 1] ? diagonal + 1 : std::max(longest[j], longest[j - 1]);
      diagonal = above;
    }
  }
  return score_of(longest.back(), static_cast<int64_t>(a.size()), static_cast<int64_t>(b.size()));
}

}  // namespace regroup
