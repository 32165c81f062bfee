#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "regroup/text/python_text.h"
#include "text_metrics.h"
#include "text_metrics/words.h"

namespace regroup {
namespace {

constexpr size_t kOrders = 4;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Marks that 13a always puts spaces around.
bool stands_alone(char c) {
  const auto u = static_cast<unsigned char>(c);
  return (u >= 0x20 && u <= 0x26) || (u >= 0x28 && u <= 0x2B) || u == 0x2F ||
         (u >= 0x3A && u <= 0x40) || (u >= 0x5B && u <= 0x60) || (u >= 0x7B && u <= 0x7E);
}

/// `out` with the replacement of a two-character pattern: what matches is consumed, as re.sub does.
template <typename Matches>
std::string replaced(const std::string& text, const Matches& matches,
                     const std::array<bool, 3>& spaces) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (i + 1 < text.size() && matches(text[i], text[i + 1])) {
      if (spaces[0]) out += ' ';
      out += text[i];
      if (spaces[1]) out += ' ';
      out += text[i + 1];
      if (spaces[2]) out += ' ';
      i += 2;
    } else {
      out += text[i++];
    }
  }
  return out;
}

using Grams = std::map<std::vector<std::string>, int64_t>;

Grams grams_of(const std::vector<std::string>& words, size_t n) {
  Grams grams;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    ++grams[{words.begin() + static_cast<int64_t>(i), words.begin() + static_cast<int64_t>(i + n)}];
  }
  return grams;
}

}  // namespace

std::string tokenize_13a(std::string_view raw) {
  std::string text = python_replace(raw, "<skipped>", "");
  text = python_replace(python_replace(text, "-\n", ""), "\n", " ");
  for (const auto& [from, to] :
       {std::pair{"&quot;", "\""}, {"&amp;", "&"}, {"&lt;", "<"}, {"&gt;", ">"}}) {
    text = python_replace(text, from, to);
  }
  std::string spaced;
  for (const char c : " " + text + " ") {
    if (stands_alone(c)) {
      spaced += std::string(" ") + c + " ";
    } else {
      spaced += c;
    }
  }
  const auto is_stop = [](char c) { return c == '.' || c == ','; };
  spaced = replaced(spaced, [&](char a, char b) { return !is_digit(a) && is_stop(b); },
                    {false, true, true});
  spaced = replaced(spaced, [&](char a, char b) { return is_stop(a) && !is_digit(b); },
                    {true, true, false});
  spaced =
      replaced(spaced, [](char a, char b) { return is_digit(a) && b == '-'; }, {false, true, true});
  std::string out;
  for (const std::string& word : split_words(spaced)) out += (out.empty() ? "" : " ") + word;
  return out;
}

double corpus_bleu(const std::vector<std::string>& predictions,
                   const std::vector<std::string>& references) {
  std::array<int64_t, kOrders> matched{};
  std::array<int64_t, kOrders> all{};
  int64_t written = 0;
  int64_t wanted = 0;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const auto prediction = split_words(tokenize_13a(predictions[i]));
    const auto reference = split_words(tokenize_13a(references[i]));
    written += static_cast<int64_t>(prediction.size());
    wanted += static_cast<int64_t>(reference.size());
    for (size_t n = 0; n < kOrders; ++n) {
      const Grams own = grams_of(prediction, n + 1);
      const Grams other = grams_of(reference, n + 1);
      for (const auto& [gram, count] : own) {
        all[n] += count;
        const auto same = other.find(gram);
        if (same != other.end()) matched[n] += std::min(count, same->second);
      }
    }
  }
  if (matched[0] == 0) return 0;  // no word in common, so no longer gram either
  double logs = 0;
  double smoothing = 1;
  size_t orders = 0;
  for (size_t n = 0; n < kOrders && all[n] > 0; ++n, ++orders) {
    const auto total = static_cast<double>(all[n]);
    if (matched[n] == 0) {
      smoothing *= 2;
      logs += std::log(1 / (smoothing * total));
    } else {
      logs += std::log(static_cast<double>(matched[n]) / total);
    }
  }
  if (orders < kOrders) return 0;
  const double ratio = static_cast<double>(wanted) / static_cast<double>(written);
  const double brevity = written >= wanted ? 1 : std::exp(1 - ratio);
  return 100 * brevity * std::exp(logs / static_cast<double>(kOrders));
}

}  // namespace regroup
