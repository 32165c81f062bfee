#include "probes/needle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace regroup::probes {
namespace {

std::string hexadecimal(PythonRandom& random) {
  std::string text;
  for (const int group : {2, 1, 1, 1, 3}) {
    if (!text.empty()) text += '-';
    for (int i = 0; i < group; ++i) text += fmt::format("{:04x}", random.getrandbits(16));
  }
  return text;
}

std::string key_of(const Needles& needles, PythonRandom& random) {
  if (needles.long_keys) return hexadecimal(random);
  return made_word(random, 2) + "-" + made_word(random, 3);
}

std::string value_of(const Needles& needles, PythonRandom& random) {
  return needles.long_values ? hexadecimal(random)
                             : std::to_string(random.randint(1000000, 9999999));
}

std::string_view kind_of(const Needles& needles) { return needles.long_values ? "uuid" : "number"; }

std::string sentence_of(const Needles& needles, const std::string& key, const std::string& value) {
  return fmt::format("One of the special magic {}s for {} is: {}.", kind_of(needles), key, value);
}

/// "a", "a and b", "a, b, and c".
std::string listed(const std::vector<std::string>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    const bool last = i > 0 && i + 1 == words.size();
    if (i > 0) text += last ? (words.size() > 2 ? ", and " : " and ") : ", ";
    text += words[i];
  }
  return text;
}

struct Asked {
  std::vector<std::string> keys;
  std::vector<std::string> values;
};

std::string question_of(const Needles& needles, const Asked& asked, const std::string& text) {
  const bool one = asked.values.size() == 1;
  const std::string kind = fmt::format("{}{}", kind_of(needles), one ? "" : "s");
  const std::string keys = listed(asked.keys);
  return fmt::format(
      "{} special magic {} {} hidden within the following text. Make sure to memorize it. I will "
      "quiz you about the {} afterwards.\n{}\nWhat {} the special magic {} for {} mentioned in the "
      "provided text? The special magic {} for {} mentioned in the provided text {}",
      one ? "A" : "Some", kind, one ? "is" : "are", kind, text, one ? "is" : "are all", kind, keys,
      kind, keys, one ? "is" : "are");
}

/// Sentence number `i` of what the needles are hidden in.
std::string hay_of(const ProbePlace& place, const Needles& needles, PythonRandom& random,
                   int64_t i) {
  if (needles.haystack == Haystack::kNeedles) {
    const std::string value = value_of(needles, random);  // arguments of a call have no order
    return sentence_of(needles, key_of(needles, random), value);
  }
  if (needles.haystack != Haystack::kText || place.text == nullptr) return std::string(filling(i));
  const std::vector<std::string>& sentences = place.text->sentences;
  return sentences[static_cast<size_t>(i) % sentences.size()];
}

Question write(const ProbePlace& place, const Needles& needles, PythonRandom& random,
               int64_t sentences, double depth) {
  std::vector<std::string> hidden;
  Asked asked;
  const int64_t keys = std::max(needles.keys, needles.queries);
  for (int64_t k = 0; k < keys; ++k) {
    const std::string key = key_of(needles, random);
    const bool wanted = k < needles.queries;
    if (wanted) asked.keys.push_back(key);
    for (int64_t v = 0; v < (wanted ? needles.values : 1); ++v) {
      const std::string value = value_of(needles, random);
      if (wanted) asked.values.push_back(value);
      hidden.push_back(sentence_of(needles, key, value));
    }
  }
  // The first needle stands at the depth that is asked for, the others anywhere.
  std::vector<std::pair<int64_t, size_t>> places = {
      {std::llround(static_cast<double>(sentences) * depth), 0}};
  for (size_t i = 1; i < hidden.size(); ++i) {
    places.emplace_back(random.randint(0, std::max<int64_t>(0, sentences)), i);
  }
  std::sort(places.begin(), places.end());
  std::string text;
  size_t next = 0;
  const char* between = needles.haystack == Haystack::kNeedles ? "\n" : " ";
  for (int64_t i = 0; i <= sentences; ++i) {
    for (; next < places.size() && places[next].first == i; ++next) {
      text += hidden[places[next].second] + between;
    }
    if (i == sentences) break;
    text += hay_of(place, needles, random, i) + between;
  }
  text.pop_back();
  return {question_of(needles, asked, text), " " + listed(asked.values)};
}

}  // namespace

std::vector<ProbeCell> make_needles(const ProbePlace& place, const Needles& needles) {
  return needle_cells(place, needles.name,
                      [&](PythonRandom& random, int64_t sentences, double depth) {
                        return write(place, needles, random, sentences, depth);
                      });
}

}  // namespace regroup::probes
