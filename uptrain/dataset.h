#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "regroup/text/token_file.h"

namespace regroup {

/// A permutation of [0, n) that needs no memory: a keyed Feistel network, walked until it lands inside
/// (cycle walking; Black and Rogaway 2002).
class KeyedPermutation {
 public:
  KeyedPermutation(uint64_t n, uint64_t key);
  uint64_t operator()(uint64_t index) const;

 private:
  uint64_t round_trip(uint64_t value) const;

  uint64_t n_;
  uint64_t key_;
  unsigned half_bits_;
};

/// Samples [first, end) of the run's order.
struct SampleRange {
  int64_t first;
  int64_t end;
};

/// The samples of a batch that process `rank` of `size` takes: as many as the others or one less, neighbours, in the
/// order of the ranks.
SampleRange share_of(const SampleRange& batch, int rank, int size);

/// Windows of seq_len + 1 tokens at stride seq_len over token files. Which window a sample is, is a
/// pure function of (seed, global sample index): resuming and the number of processes cannot change
/// the order. Every epoch visits every window once, in an order of its own.
class Dataset {
 public:
  /// @throws CheckpointError TEXT_TOO_SHORT, TOKENS_RANGE, TOKENS_EMPTY
  Dataset(const std::vector<std::string>& token_files, TokenFormat format, int64_t seq_len,
          int64_t vocab_size, uint64_t seed);

  int64_t n_windows() const { return n_windows_; }
  int64_t n_tokens() const { return n_tokens_; }
  /// XXH3-128 over the ids of every file in order and where each file ends: paths may move, windows must
  /// not.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Which window sample `index` is, over all files.
  int64_t window_of(int64_t index) const;
  /// Samples [first, first + count) as int64 [count, seq_len + 1].
  at::Tensor batch(int64_t first, int64_t count) const;

 private:
  struct Part {
    std::unique_ptr<TokenFile> file;
    int64_t first_window;
  };
  std::vector<Part> parts_;
  int64_t seq_len_;
  int64_t vocab_size_;
  uint64_t seed_;
  int64_t n_windows_ = 0;
  int64_t n_tokens_ = 0;
  std::string fingerprint_;
};

}  // namespace regroup
