#pragma once

#include <cstdint>
#include <vector>

namespace regroup {

enum class RopeKind { kDefault, kLinear, kDynamic, kLlama3, kYarn };

/// Rotary position embedding with its frequency scaling.
struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  int64_t original_max_positions = 0;  ///< llama3, yarn
  double low_freq_factor = 1.0;        ///< llama3
  double high_freq_factor = 4.0;       ///< llama3
  double beta_fast = 32.0;             ///< yarn
  double beta_slow = 1.0;              ///< yarn
  bool truncate = true;                ///< yarn
  double attention_factor = 1.0;       ///< yarn: cos and sin are multiplied by it
};

/// Angles per position of the rotary_dim / 2 frequency planes, in float64.
/// @param seq_len        tokens of the longest sequence (dynamic scaling grows with it)
/// @param max_positions  the config's max_position_embeddings
std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t rotary_dim, int64_t seq_len,
                                     int64_t max_positions);

}  // namespace regroup
