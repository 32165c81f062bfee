// What several probes are made of.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "probes/probes.h"
#include "regroup/base/stop_signal.h"

namespace regroup::probes {
namespace {

// As epfml/landmark-attention fills its passkey test.
constexpr auto kFilling =
    std::to_array<std::string_view>({"The grass is green.", "The sky is blue.",
                                     "The sun is yellow.", "Here we go.", "There and back again."});

uint64_t hash_of(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

}  // namespace

PythonRandom trial_random(const ProbePlace& place, std::string_view what, int64_t trial) {
  return PythonRandom(hash_of(what) ^ (place.seed * 0x9E3779B97F4A7C15u +
                                       static_cast<uint64_t>(trial) * 0xD1B54A32D192ED03u));
}

std::vector<int64_t> doubling_lengths(int64_t shortest, int64_t longest) {
  std::vector<int64_t> lengths;
  for (int64_t length = shortest; length < longest; length *= 2) lengths.push_back(length);
  if (longest >= shortest) lengths.push_back(longest);
  return lengths;
}

TokenRequest request_of(const ProbePlace& place, const Question& question, size_t item) {
  Task task;
  task.name = "probe";
  task.definition.kind = TaskKind::kLoglikelihood;
  task.requests = {{{question.context, question.answer}}};
  EncodedTask encoded = encode_task(task, place.tokenizer, place.max_length);
  encoded.requests.front().item = item;
  return std::move(encoded.requests.front());
}

int64_t fitting(const ProbePlace& place, int64_t length,
                const std::function<Question(int64_t sentences)>& write) {
  const auto tokens_of = [&](int64_t sentences) {
    const Question question = write(sentences);
    return static_cast<int64_t>(place.tokenizer.encode(question.context + question.answer).size());
  };
  const int64_t none = tokens_of(0);
  if (none > length) return -1;
  // Sentences are about equally long: guesses, each from the one before, and a few steps from the last.
  constexpr int64_t kSome = 16;
  constexpr int kGuesses = 4;  // those of a text differ, and the next ones may be longer
  int64_t sentences = kSome;
  for (int guess = 0; guess < kGuesses && sentences > 0; ++guess) {
    const int64_t used = std::max<int64_t>(1, tokens_of(sentences) - none);
    const int64_t next = (length - none) * sentences / used;
    if (next == sentences) break;
    sentences = next;
  }
  while (sentences > 0 && tokens_of(sentences) > length) --sentences;
  while (tokens_of(sentences + 1) <= length) ++sentences;
  return sentences;
}

std::vector<ProbeCell> needle_cells(const ProbePlace& place, std::string_view name,
                                    const WriteNeedle& write) {
  constexpr int64_t kShortest = 128;
  std::vector<ProbeCell> cells;
  for (const int64_t length : doubling_lengths(kShortest, place.max_length)) {
    for (const double depth : kDepths) {
      throw_if_stopped(/*resumable=*/false);
      ProbeCell cell{.length = length, .depth = depth, .count = {}, .requests = {}};
      for (int64_t trial = 0; trial < place.trials; ++trial) {
        const auto question = [&](int64_t sentences) {
          PythonRandom random =
              trial_random(place, fmt::format("{}:{}:{}", name, length, depth), trial);
          return write(random, sentences, depth);
        };
        const int64_t sentences = fitting(place, length, question);
        if (sentences < 0) break;  // no room for the question alone
        cell.requests.push_back(request_of(place, question(sentences), static_cast<size_t>(trial)));
      }
      if (static_cast<int64_t>(cell.requests.size()) == place.trials) {
        cells.push_back(std::move(cell));
      }
    }
  }
  return cells;
}

std::vector<ProbeCell> counted_cells(
    const ProbePlace& place, std::string_view name, std::span<const int64_t> counts,
    const std::function<Question(PythonRandom& random, int64_t count)>& write) {
  std::vector<ProbeCell> cells;
  for (const int64_t count : counts) {
    throw_if_stopped(/*resumable=*/false);
    ProbeCell cell{.length = 0, .depth = {}, .count = count, .requests = {}};
    for (int64_t trial = 0; trial < place.trials; ++trial) {
      PythonRandom random = trial_random(place, fmt::format("{}:{}", name, count), trial);
      const Question question = write(random, count);
      const auto tokens =
          static_cast<int64_t>(place.tokenizer.encode(question.context + question.answer).size());
      if (tokens > place.max_length) return cells;
      cell.length = std::max(cell.length, tokens);
      cell.requests.push_back(request_of(place, question, static_cast<size_t>(trial)));
    }
    cells.push_back(std::move(cell));
  }
  return cells;
}

std::string_view filling(int64_t i) { return kFilling[static_cast<size_t>(i) % kFilling.size()]; }

int64_t ordinary_token(const ProbePlace& place, PythonRandom& random) {
  const int64_t first = place.vocab_size / 10;
  return random.randint(first, place.vocab_size - 1);
}

std::vector<int64_t> beginning(const ProbePlace& place) {
  const int32_t bos = place.tokenizer.bos_id();
  return bos >= 0 ? std::vector<int64_t>{bos} : std::vector<int64_t>{};
}

std::string made_word(PythonRandom& random, int64_t syllables) {
  constexpr std::string_view kConsonants = "bdfgklmnprstvz";
  constexpr std::string_view kVowels = "aeiou";
  std::string word;
  for (int64_t i = 0; i < syllables; ++i) {
    word += kConsonants[random.randbelow(kConsonants.size())];
    word += kVowels[random.randbelow(kVowels.size())];
  }
  return word;
}

}  // namespace regroup::probes
