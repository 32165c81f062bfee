#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <unordered_map>

namespace regroup {

/// Blocks of prompts that later prompts may begin with: those in use, and those that nobody uses, which are dropped from the
/// one that was used longest ago.
class PrefixCache {
 public:
  /// How many of the first blocks are there.
  int64_t find(std::span<const uint64_t> blocks) const;
  /// How many of them somebody uses.
  int64_t used_among(std::span<const uint64_t> blocks) const;
  /// Uses all blocks; those that were not there are added.
  void use(std::span<const uint64_t> blocks);
  void release(std::span<const uint64_t> blocks);
  /// Drops at most `count` blocks that nobody uses. @return how many
  int64_t drop(int64_t count);

  int64_t used() const { return used_; }
  int64_t unused() const { return static_cast<int64_t>(unused_.size()); }

 private:
  struct Block {
    int64_t users = 0;
    std::list<uint64_t>::iterator place;  ///< in unused_, while nobody uses it
  };
  std::unordered_map<uint64_t, Block> blocks_;
  std::list<uint64_t> unused_;  ///< the one used longest ago comes first
  int64_t used_ = 0;
};

}  // namespace regroup
