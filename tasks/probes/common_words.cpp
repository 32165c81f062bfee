// Which words a list holds most often (RULER, arXiv:2404.06654, section 3.3): ten come six times, the others once.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "probes/probes.h"

namespace regroup {
namespace {

constexpr int64_t kCommon = 10;
constexpr int64_t kTimes = 6;  // RULER below 4k: six times, the others once

/// @param others  words that come once
probes::Question write(PythonRandom& random, int64_t others) {
  std::vector<std::string> words;
  std::set<std::string> seen;
  while (static_cast<int64_t>(words.size()) < kCommon + others) {
    std::string word = probes::made_word(random, random.randint(2, 3));
    if (seen.insert(word).second) words.push_back(std::move(word));
  }
  std::vector<std::string> list(words.begin() + kCommon, words.end());
  for (int64_t i = 0; i < kCommon; ++i) {
    list.insert(list.end(), static_cast<size_t>(kTimes), words[static_cast<size_t>(i)]);
  }
  random.shuffle(list);
  std::string text;
  for (size_t i = 0; i < list.size(); ++i) text += fmt::format("{}. {} ", i + 1, list[i]);
  std::string answer;
  for (int64_t i = 0; i < kCommon; ++i) answer += " " + words[static_cast<size_t>(i)];
  return {fmt::format("Below is a numbered list of words. In these words, some appear more often "
                      "than others. Memorize the ones that appear most often.\n{}\nQuestion: What "
                      "are the {} most common words in the above list? Answer: The top {} words "
                      "that appear most often in the list are:",
                      text, kCommon, kCommon),
          answer};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  std::vector<ProbeCell> cells;
  for (const int64_t length : probes::doubling_lengths(512, place.max_length)) {
    ProbeCell cell{.length = length, .depth = {}, .count = {}, .requests = {}};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      const auto question = [&](int64_t others) {
        PythonRandom random =
            probes::trial_random(place, fmt::format("common_words:{}", length), trial);
        return write(random, others);
      };
      const int64_t others = probes::fitting(place, length, question);
      if (others < 0) break;
      cell.requests.push_back(
          probes::request_of(place, question(others), static_cast<size_t>(trial)));
    }
    if (static_cast<int64_t>(cell.requests.size()) == place.trials)
      cells.push_back(std::move(cell));
  }
  return cells;
}

}  // namespace

// The order of the answer is anybody's guess: a model that knows all words loses ln(10!) / 10 = 1.5 nats a word.
const ProbeDefinition probes::common_words{
    .name = "common_words", .axis = "", .passing = -2, .make = make};

}  // namespace regroup
