#pragma once

#include <cstdint>
#include <vector>

#include "regroup/model/decoder.h"

namespace regroup {

/// Where a model's speed is measured.
struct SpeedPoint {
  int64_t batch = 1;
  int64_t context = 0;  ///< tokens of each sequence before the first step that counts
};

struct SpeedSettings {
  int64_t new_tokens = 64;  ///< steps of a repetition
  int64_t warm_up = 10;     ///< steps before them that do not count
  uint64_t seed = 0;        ///< of the tokens' ids
};

/// Decode steps of one repetition: every sequence of the batch goes on by a token each step, with ids that are given
/// beforehand, so that models of any quality do the same work; choosing the next id is not part of a step.
struct DecodeSpeed {
  std::vector<double> step_s;        ///< [new_tokens]
  int64_t kv_bytes = 0;              ///< that the cache takes, with room for the new tokens
  int64_t step_allocated_bytes = 0;  ///< that one step asked the allocator for, cache apart
};

/// The cache holds made-up keys and values of `context` tokens: what they are does not change the time.
/// @throws StoppedError
DecodeSpeed measure_decode(const Decoder& model, const SpeedPoint& point,
                           const SpeedSettings& settings);

/// Sequences that are prefilled at once: as many as have about 8,192 tokens together, of the batch.
int64_t prefilled_at_once(const SpeedPoint& point);
/// Seconds that prefilling so many sequences of `context` tokens takes, up to the first new token's logits.
double measure_prefill(const Decoder& model, const SpeedPoint& point, uint64_t seed);

/// Bytes of weights that decode steps read, of experts all: all but an embedding whose rows are looked up alone.
int64_t read_weight_bytes(const Decoder& model);

/// A model of the same shape but for its KV heads: each is the first of its group, all other weights are shared. It is as
/// fast as a converted one, and says nothing of quality.
/// @param n_kv_heads  divides the model's
Decoder with_first_heads(const Decoder& model, int64_t n_kv_heads);

}  // namespace regroup
