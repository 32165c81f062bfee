#include "word_cache.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

namespace regroup {

size_t WordCache::slot_of(std::string_view piece) {
  return XXH3_64bits(piece.data(), piece.size()) & (kSlots - 1);
}

bool WordCache::find(std::string_view piece, std::vector<int32_t>& ids) const {
  if (piece.size() > kMaxBytes) return false;
  const Slot& slot = slots_[slot_of(piece)];
  if (slot.bytes != piece.size() ||
      std::memcmp(slot.text.data(), piece.data(), piece.size()) != 0) {
    return false;
  }
  ids.insert(ids.end(), slot.ids.begin(), slot.ids.begin() + slot.n_ids);
  return true;
}

void WordCache::put(std::string_view piece, std::span<const int32_t> ids) {
  if (piece.empty() || piece.size() > kMaxBytes || ids.size() > kMaxIds) return;
  Slot& slot = slots_[slot_of(piece)];
  std::memcpy(slot.text.data(), piece.data(), piece.size());
  std::copy(ids.begin(), ids.end(), slot.ids.begin());
  slot.bytes = static_cast<uint8_t>(piece.size());
  slot.n_ids = static_cast<uint8_t>(ids.size());
}

}  // namespace regroup
