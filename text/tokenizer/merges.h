#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace regroup {

/// What a pair of tokens becomes.
struct Merge {
  uint32_t rank = 0;  ///< lower ones come first
  int32_t id = -1;    ///< -1: the pair stays
};

/// The merges of a BPE model: an open table from pairs of ids.
class Merges {
 public:
  explicit Merges(size_t expected = 0);
  /// @return false if the pair is there already; the later merge then counts
  bool add(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = key_of(left, right);
    for (size_t at = slot(key);; at = (at + 1) & mask_) {
      if (entries_[at].key == key) return entries_[at].merge;
      if (entries_[at].key == kEmpty) return {};
    }
  }

 private:
  struct Entry {
    uint64_t key;
    Merge merge;
  };
  static constexpr uint64_t kEmpty = ~uint64_t{0};
  static uint64_t key_of(int32_t left, int32_t right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15U) >> shift_) & mask_;
  }
  std::vector<Entry> entries_;
  size_t mask_ = 0;
  int shift_ = 0;
};

/// A token of a word, as merging proceeds.
struct Symbol {
  int32_t id;
  uint32_t bytes;  ///< of the word it stands for; 0: merged into the one before
  int32_t previous;
  int32_t next;
};

/// Merges neighbours, the lowest rank first and of equal ones the leftmost, until no pair is left that merges. Takes
/// n log n time. What remains has bytes > 0.
void merge_symbols(const Merges& merges, std::vector<Symbol>& symbols);

}  // namespace regroup
