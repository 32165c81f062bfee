#pragma once

#include <functional>

#include "python_random.h"
#include "regroup/tasks/probe.h"

/// A probe is one file of probes/, named in PROBES of CMakeLists.txt.
namespace regroup::probes {
#define REGROUP_ENTRY(name) extern const ProbeDefinition name;
#include "regroup/probe_definitions.inc"
#undef REGROUP_ENTRY

/// A generator for one trial of `what`, a probe and its cell: no two cells share one.
PythonRandom trial_random(const ProbePlace& place, std::string_view what, int64_t trial);

/// Lengths that a probe is asked at: `shortest` and its doubles, and the longest one.
std::vector<int64_t> doubling_lengths(int64_t shortest, int64_t longest);

inline constexpr double kDepths[] = {0, 0.25, 0.5, 0.75, 1};

/// A text that is told and asked about: what stands before the answer, and the answer.
struct Question {
  std::string context;
  std::string answer;
};

/// One request, tokenized as those of tasks are. `item` is the trial.
TokenRequest request_of(const ProbePlace& place, const Question& question, size_t item);

/// The most sentences of filling with which `write` stays within `length` tokens; -1 where it never does.
/// @param write  the question with so many sentences
int64_t fitting(const ProbePlace& place, int64_t length,
                const std::function<Question(int64_t sentences)>& write);

/// Cells of every length and depth, of questions that `write` makes.
using WriteNeedle = std::function<Question(PythonRandom& random, int64_t sentences, double depth)>;
std::vector<ProbeCell> needle_cells(const ProbePlace& place, std::string_view name,
                                    const WriteNeedle& write);

/// A cell for each of `counts`, up to the first of which a question is longer than the model's context.
std::vector<ProbeCell> counted_cells(
    const ProbePlace& place, std::string_view name, std::span<const int64_t> counts,
    const std::function<Question(PythonRandom& random, int64_t count)>& write);

/// The filling sentence number `i`.
std::string_view filling(int64_t i);

/// Random ordinary tokens: of the upper nine tenths of the vocabulary, where special tokens and bytes are rare.
int64_t ordinary_token(const ProbePlace& place, PythonRandom& random);
/// BOS, or nothing where the tokenizer has none.
std::vector<int64_t> beginning(const ProbePlace& place);

/// A pronounceable word.
std::string made_word(PythonRandom& random, int64_t syllables);

}  // namespace regroup::probes
