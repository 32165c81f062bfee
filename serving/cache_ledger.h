#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "regroup/serving/cache_layout.h"

namespace regroup {

/// What a number of steps reads and computes over the cache: at step j (from 0) first + j * growth.
struct CacheWork {
  double bytes = 0;
  double bytes_growth = 0;
  double flops = 0;
  double flops_growth = 0;
};

/// Blocks that sequences hold while each of them grows by a token a step. Layers with one window are one group.
class CacheLedger {
 public:
  CacheLedger(const CacheLayout& layout, int64_t kv_bits, int64_t block_tokens);

  /// Bytes of the blocks of a sequence of `tokens`, of which the first `shared` blocks are another's.
  int64_t bytes_of(int64_t tokens, int64_t shared = 0) const;
  /// Bytes of one block of all tokens' layers.
  int64_t block_bytes() const;
  /// Bytes that all sequences hold.
  int64_t bytes() const { return bytes_after(0); }
  int64_t bytes_after(int64_t steps) const;
  /// Means of the next `steps` steps, each with the token that it adds: of all blocks, and of what holds tokens in them.
  double mean_bytes(int64_t steps) const;
  double mean_used_bytes(int64_t steps) const;

  /// A sequence that does not grow yet: its prompt is being read.
  void hold(int64_t tokens, int64_t shared);
  void release(int64_t tokens, int64_t shared);
  /// A sequence of `tokens` that grows from the next step on.
  void join(int64_t tokens, int64_t shared);
  void leave(int64_t tokens, int64_t shared);

  /// At most steps_to_full_window().
  void advance(int64_t steps);
  /// Steps until a sequence fills a window; INT64_MAX when none will.
  int64_t steps_to_full_window() const;
  /// What a step reads and computes, one query a growing sequence.
  CacheWork work() const;
  /// FLOPs of `queries` tokens of one sequence that follow on `before` others.
  double prefill_flops(int64_t before, int64_t queries) const;
  /// Bytes of `tokens` of one sequence, as attention reads them.
  double read_bytes(int64_t tokens) const;

 private:
  struct Group {
    int64_t window = 0;         ///< 0: none
    int64_t token_bits = 0;     ///< of one token, all layers of the group
    double token_flops = 0;     ///< one query over one token
    int64_t window_blocks = 0;  ///< most that a sequence holds, where there is a window
    int64_t growing = 0;        ///< sequences
    int64_t tokens = 0;         ///< of them
    int64_t blocks = 0;         ///< of them, and of sequences that are held
    int64_t held_tokens = 0;
    int64_t shared_tokens = 0;  ///< of growing sequences, in blocks of the prefix cache
    int64_t full = 0;           ///< sequences whose window is full
    std::vector<int64_t>
        phases;  ///< [block_tokens]: growing sequences by (tokens - step) % block_tokens
    std::map<int64_t, int64_t>
        full_at;  ///< growing sequences by the step at which they fill the window
    int64_t block_bytes(int64_t block_tokens) const { return token_bits * block_tokens / 8; }
  };
  static bool is_full(const Group& group, int64_t tokens) {
    return group.window > 0 && tokens >= group.window;
  }
  int64_t blocks_of(const Group& group, int64_t tokens, int64_t shared) const;
  size_t phase(int64_t tokens) const;
  int64_t first_new_block(int64_t phase) const;
  int64_t new_blocks(const Group& group, int64_t steps) const;
  int64_t filling_blocks(const Group& group, int64_t steps) const;
  double mean_new_blocks(const Group& group, int64_t steps) const;
  void fill_windows(Group& group);

  int64_t block_tokens_;
  int64_t state_bytes_;  ///< of a sequence
  int64_t sequences_ = 0;
  int64_t step_ = 0;
  std::vector<Group> groups_;
};

}  // namespace regroup
