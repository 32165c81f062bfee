#include "prefix_cache.h"

namespace regroup {

int64_t PrefixCache::find(std::span<const uint64_t> blocks) const {
  int64_t found = 0;
  for (const uint64_t block : blocks) {
    if (!blocks_.contains(block)) break;
    ++found;
  }
  return found;
}

int64_t PrefixCache::used_among(std::span<const uint64_t> blocks) const {
  int64_t used = 0;
  for (const uint64_t hash : blocks) {
    const auto found = blocks_.find(hash);
    if (found != blocks_.end() && found->second.users > 0) ++used;
  }
  return used;
}

void PrefixCache::use(std::span<const uint64_t> blocks) {
  for (const uint64_t hash : blocks) {
    const auto [found, added] = blocks_.try_emplace(hash);
    Block& block = found->second;
    if (!added && block.users == 0) unused_.erase(block.place);
    if (block.users == 0) ++used_;
    ++block.users;
  }
}

void PrefixCache::release(std::span<const uint64_t> blocks) {
  // The last block goes first: a chain is of no use without its beginning.
  for (size_t i = blocks.size(); i-- > 0;) {
    Block& block = blocks_.at(blocks[i]);
    if (--block.users > 0) continue;
    --used_;
    block.place = unused_.insert(unused_.end(), blocks[i]);
  }
}

int64_t PrefixCache::drop(int64_t count) {
  int64_t dropped = 0;
  for (; dropped < count && !unused_.empty(); ++dropped) {
    blocks_.erase(unused_.front());
    unused_.pop_front();
  }
  return dropped;
}

}  // namespace regroup
