#include "dataset.h"

#include <ATen/ops/empty.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "regroup/base/digest.h"
#include "regroup/base/error.h"
#include "regroup/base/split_mix.h"

namespace regroup {
namespace {

constexpr int kRounds = 6;

/// Hashes every id and checks it on the way.
void digest_ids(const TokenFile& file, int64_t vocab_size, Xxh3& hash) {
  std::vector<int64_t> block(1 << 18);
  for (int64_t at = 0; at < file.size(); at += static_cast<int64_t>(block.size())) {
    const auto n = std::min<int64_t>(file.size() - at, static_cast<int64_t>(block.size()));
    const auto part = std::span(block).first(static_cast<size_t>(n));
    file.read(at, part, vocab_size);
    hash.update(std::as_bytes(part));
  }
}

/// Where a file ends decides the windows. A negative number: no id is one. One file alone needs none.
void digest_boundary(int64_t size, Xxh3& hash) {
  const int64_t mark = -size;
  hash.update(std::as_bytes(std::span(&mark, 1)));
}

}  // namespace

SampleRange share_of(const SampleRange& batch, int rank, int size) {
  const int64_t samples = batch.end - batch.first;
  return {batch.first + samples * rank / size, batch.first + samples * (rank + 1) / size};
}

KeyedPermutation::KeyedPermutation(uint64_t n, uint64_t key)
    : n_(n),
      key_(key),
      half_bits_(std::max(1u, (static_cast<unsigned>(std::bit_width(n)) + 1) / 2)) {}

uint64_t KeyedPermutation::round_trip(uint64_t value) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t left = value >> half_bits_;
  uint64_t right = value & mask;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t turned =
        left ^ (split_mix((key_ + static_cast<uint64_t>(round)) ^ (right << 8)) & mask);
    left = right;
    right = turned;
  }
  return left << half_bits_ | right;
}

uint64_t KeyedPermutation::operator()(uint64_t index) const {
  // The network permutes a power of four at most 4 n + 4 large, so this ends after a few turns.
  do {
    index = round_trip(index);
  } while (index >= n_);
  return index;
}

Dataset::Dataset(const std::vector<std::string>& token_files, TokenFormat format, int64_t seq_len,
                 int64_t vocab_size, uint64_t seed)
    : seq_len_(seq_len), vocab_size_(vocab_size), seed_(seed) {
  Xxh3 hash;
  for (const std::string& path : token_files) {
    auto file = std::make_unique<TokenFile>(path, format);
    if (file->size() == 0) {
      throw CheckpointError({.code = "TOKENS_EMPTY",
                             .message = "must hold at least one id, found none",
                             .path = path,
                             .hint = "check that this is the right file"});
    }
    digest_ids(*file, vocab_size, hash);
    if (token_files.size() > 1) digest_boundary(file->size(), hash);
    const int64_t windows = (file->size() - 1) / seq_len;
    n_tokens_ += file->size();
    parts_.push_back({std::move(file), n_windows_});
    n_windows_ += windows;
  }
  fingerprint_ = hash.hex();
  if (n_windows_ == 0) {
    throw CheckpointError(
        {.code = "TEXT_TOO_SHORT",
         .message = fmt::format("the data must hold at least one window of `seq-len` + 1 = {} "
                                "tokens, found {}",
                                seq_len + 1, n_tokens_),
         .path = token_files.empty() ? "" : token_files.front(),
         .hint = "give more text, or a smaller `seq-len`"});
  }
}

int64_t Dataset::window_of(int64_t index) const {
  const auto n = static_cast<uint64_t>(n_windows_);
  const uint64_t epoch = static_cast<uint64_t>(index) / n;
  const KeyedPermutation order(n, split_mix(seed_ ^ split_mix(epoch)));
  return static_cast<int64_t>(order(static_cast<uint64_t>(index) % n));
}

at::Tensor Dataset::batch(int64_t first, int64_t count) const {
  at::Tensor ids = at::empty({count, seq_len_ + 1}, at::TensorOptions().dtype(at::kLong));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t window = window_of(first + i);
    const auto part =
        std::prev(std::upper_bound(parts_.begin(), parts_.end(), window,
                                   [](int64_t w, const Part& p) { return w < p.first_window; }));
    const std::span row(ids.data_ptr<int64_t>() + i * (seq_len_ + 1),
                        static_cast<size_t>(seq_len_ + 1));
    part->file->read((window - part->first_window) * seq_len_, row, vocab_size_);
  }
  return ids;
}

}  // namespace regroup
