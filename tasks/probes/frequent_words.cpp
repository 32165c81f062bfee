// Which words come most often where counts follow a zeta distribution (RULER, arXiv:2404.06654, section 3.3).
#include <fmt/format.h>

#include <algorithm>
#include <numbers>
#include <set>

#include "probes/probes.h"
#include "regroup/base/stop_signal.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr int64_t kAsked = 3;
constexpr int64_t kLetters = 6;
constexpr int64_t kTokensAWord = 50;  // of the context, for each different word

/// How often the word of rank `k` = 1, 2, ... comes among `words`: the whole part of words k^-2 / zeta(2).
/// 100 words: 60, 15, 6, 3, 2, 1, 1, 0.
int64_t times_of(int64_t words, int64_t k) {
  constexpr double kZeta2 = std::numbers::pi * std::numbers::pi / 6;
  return static_cast<int64_t>(static_cast<double>(words) / static_cast<double>(k * k) / kZeta2);
}

/// Whether the words asked for, of ranks 2 to 4, differ in number from each other and from those behind.
bool has_an_answer(int64_t words) {
  for (int64_t k = 2; k <= kAsked + 1; ++k) {
    if (times_of(words, k) <= times_of(words, k + 1)) return false;
  }
  return true;
}

std::vector<std::string> coded_words(PythonRandom& random, int64_t count) {
  std::vector<std::string> words;
  std::set<std::string> seen;
  while (static_cast<int64_t>(words.size()) < count) {
    std::string word;
    for (int64_t i = 0; i < kLetters; ++i) word += static_cast<char>('a' + random.randint(0, 25));
    if (seen.insert(word).second) words.push_back(std::move(word));
  }
  return words;
}

/// @param length  tokens of the context, from which the number of different words follows
/// @param words   before counts are cut to whole ones
probes::Question write(PythonRandom& random, int64_t length, int64_t words) {
  const int64_t different = std::max(kAsked + 2, length / kTokensAWord);
  std::vector<std::string> coded = coded_words(random, different);
  coded[0] = "...";  // the most frequent one is noise
  std::vector<std::string> text;
  for (int64_t k = 1; k <= different; ++k) {
    text.insert(text.end(), static_cast<size_t>(times_of(words, k)),
                coded[static_cast<size_t>(k - 1)]);
  }
  random.shuffle(text);
  std::string answer;
  for (size_t i = 1; i <= kAsked; ++i) answer += " " + coded[i];
  return {fmt::format("Read the following coded text and track the frequency of each coded word. "
                      "Find the three most frequently appeared coded words. {}\nQuestion: Do not "
                      "provide any explanation. Please ignore the dots '....'. What are the three "
                      "most frequently appeared words in the above coded text? Answer: According "
                      "to the coded text above, the three most frequently appeared words are:",
                      join(text, " ")),
          answer};
}

std::vector<ProbeCell> make(const ProbePlace& place) {
  std::vector<ProbeCell> cells;
  for (const int64_t length : probes::doubling_lengths(512, place.max_length)) {
    throw_if_stopped(/*resumable=*/false);
    ProbeCell cell{.length = length, .depth = {}, .count = {}, .requests = {}};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      const auto question = [&](int64_t words) {
        PythonRandom random =
            probes::trial_random(place, fmt::format("frequent_words:{}", length), trial);
        return write(random, length, words);
      };
      const int64_t words = probes::fitting(place, length, question);
      if (words < 0 || !has_an_answer(words)) break;
      cell.requests.push_back(
          probes::request_of(place, question(words), static_cast<size_t>(trial)));
    }
    if (static_cast<int64_t>(cell.requests.size()) == place.trials) {
      cells.push_back(std::move(cell));
    }
  }
  return cells;
}

}  // namespace

// In which order the words are said is a guess: ln(3!) = 1.8 nats for the answer, and the first one's letters.
const ProbeDefinition probes::frequent_words{
    .name = "frequent_words", .axis = "", .passing = -1, .make = make};

}  // namespace regroup
