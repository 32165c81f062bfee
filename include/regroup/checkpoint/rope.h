#pragma once

#include <cstdint>
#include <vector>

namespace regroup {

enum class RopeKind { kDefault, kLinear, kDynamic, kLlama3, kYarn, kLongRope };

/// Rotary position embedding with its frequency scaling.
struct RopeConfig {
  RopeKind kind = RopeKind::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  int64_t original_max_positions = 0;  ///< llama3, yarn, longrope
  double low_freq_factor = 1.0;        ///< llama3
  double high_freq_factor = 4.0;       ///< llama3
  double beta_fast = 32.0;             ///< yarn
  double beta_slow = 1.0;              ///< yarn
  bool truncate = true;                ///< yarn
  double attention_factor = 1.0;       ///< yarn, longrope: cos and sin are multiplied by it
  /// longrope, [rotary_dim / 2]: what frequencies are divided by in sequences of at most
  /// original_max_positions tokens, and in longer ones (arXiv:2402.13753).
  std::vector<double> short_factor = {};
  std::vector<double> long_factor = {};

  /// Whether angles of a position depend on how long its sequence is, given one of `seq_len` tokens.
  bool depends_on_length(int64_t seq_len, int64_t max_positions) const {
    if (kind == RopeKind::kDynamic) return seq_len > max_positions;
    return kind == RopeKind::kLongRope && seq_len > original_max_positions;
  }
  /// Whether keys of `past` tokens are turned otherwise in a sequence of `seq_len`: longrope has two sets of angles.
  bool turns_anew(int64_t past, int64_t seq_len) const {
    return kind == RopeKind::kLongRope && past > 0 && past <= original_max_positions &&
           seq_len > original_max_positions;
  }
};

/// Angles per position of the rotary_dim / 2 frequency planes, in float64.
/// @param seq_len        tokens of the longest sequence (dynamic scaling and longrope depend on it)
/// @param max_positions  the config's max_position_embeddings
std::vector<double> rope_frequencies(const RopeConfig& rope, int64_t rotary_dim, int64_t seq_len,
                                     int64_t max_positions);

}  // namespace regroup
