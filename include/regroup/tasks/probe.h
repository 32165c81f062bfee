#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "regroup/tasks/probe_text.h"
#include "regroup/tasks/token_request.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

struct ProbeOptions {
  int64_t trials = 10;     ///< a cell
  int64_t max_length = 0;  ///< tokens; 0: what the model is made for
  std::string text;        ///< file that needles are hidden in; "": sentences about nothing
};

/// What a probe may use: everything follows from it.
struct ProbePlace {
  const Tokenizer& tokenizer;
  int64_t vocab_size;  ///< rows of the embedding that are pieces
  int64_t max_length;  ///< tokens that a model is fed at most
  int64_t trials;
  uint64_t seed;
  const ProbeText* text = nullptr;  ///< of Haystack::kText; nullptr: sentences about nothing
};

/// What the answer of a probe stands among.
enum class Haystack {
  kNone,     ///< the probe is no needle in a haystack
  kNoise,    ///< sentences about nothing
  kNeedles,  ///< needles of other keys
  kText,     ///< a text of the user's
};

/// Requests of one length and depth, each a trial.
struct ProbeCell {
  int64_t length = 0;  ///< tokens asked for
  std::optional<double>
      depth;  ///< where the answer stands, in [0, 1]: 1 is right before the question
  std::optional<int64_t> count;  ///< pairs, lines or words among which it must be found
  std::vector<TokenRequest> requests;
  size_t choices = 1;  ///< requests a trial: 1, or as many as there are answers to choose from
};

/// A synthetic task that asks for something which stands in the context: one file of probes/, named in PROBES of
/// CMakeLists.txt.
struct ProbeDefinition {
  std::string_view name;
  std::string_view axis;  ///< what ProbeCell::count counts; "" where it counts nothing
  double passing = -0.5;  ///< nats a token of the answer from which on a model can do it
  Haystack haystack = Haystack::kNone;
  std::vector<ProbeCell> (*make)(const ProbePlace& place) = nullptr;
};

std::span<const ProbeDefinition* const> probe_definitions();
const ProbeDefinition* find_probe(std::string_view name);
/// The probes that `names` ask for, each once; "all" is all of them.
/// @throws ConfigError PROBE_UNKNOWN with the nearest name
std::vector<const ProbeDefinition*> choose_probes(const std::vector<std::string>& names);

/// What a model did in one cell.
struct ProbeScore {
  int64_t trials = 0;
  double log_prob = 0;        ///< nats a token of the answer, mean over trials
  double log_prob_error = 0;  ///< its standard error
  double accuracy =
      0;  ///< trials whose whole answer is the likeliest (of the choices, where there are several)
  double accuracy_error = 0;
};

/// @param scores  of the cell's requests, in order
ProbeScore score_cell(const ProbeCell& cell, std::span<const RequestScore> scores);

/// Nats a token of the answer of each trial: what two models are compared by.
std::vector<double> trial_log_probs(const ProbeCell& cell, std::span<const RequestScore> scores);

}  // namespace regroup
