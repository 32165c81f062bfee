#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "regroup/base/strict_json.h"
#include "run_setup.h"

namespace regroup {

/// How far a model is from what it was, in nats a token on the run's first samples.
struct StartingPoint {
  double loss = 0;           ///< of the next token
  std::optional<double> kl;  ///< KL(teacher || model), with a teacher
};

/// Nats a token that training has to bring back: the divergence from the teacher, or without one what the
/// loss exceeds that a trained model may have with so many tokens to choose from.
double nats_to_recover(const StartingPoint& start, int64_t vocab_size);

struct StackSize {
  int64_t hidden_size;
  int64_t n_layers;
};

/// The peak rate for a model of that size with so much to recover and so many tokens a step, rounded to one
/// significant digit (docs/distillation.md has the measurements).
double default_learning_rate(double to_recover, const StackSize& size, int64_t tokens_per_step);

/// Steps of warm-up: a twentieth of the run, at least 5 and at most 200, never more than half of it.
int64_t default_warmup(int64_t steps);

/// Fills in setup.options' learning rate and warm-up where they were left out, and says why in
/// setup.facts. An interrupted run of the same `settings` keeps what it chose.
/// @param settings  all others that decide the run's numbers; completed
void choose_rates(RunSetup& setup, Json& settings, const TrainObserver& observer);

}  // namespace regroup
