#include "merges.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace regroup {
namespace {

constexpr size_t kShortWord = 48;  // below it looking at every pair beats a heap

void join(std::vector<Symbol>& symbols, size_t left, int32_t id) {
  Symbol& symbol = symbols[left];
  Symbol& right = symbols[static_cast<size_t>(symbol.next)];
  symbol.id = id;
  symbol.bytes += right.bytes;
  symbol.next = right.next;
  right.bytes = 0;
  if (right.next >= 0)
    symbols[static_cast<size_t>(right.next)].previous = static_cast<int32_t>(left);
}

void merge_short(const Merges& merges, std::vector<Symbol>& symbols) {
  Merge pairs[kShortWord];  // of each symbol with its next
  const auto look_up = [&](size_t left) {
    const Symbol& symbol = symbols[left];
    pairs[left] = symbol.next < 0
                      ? Merge{}
                      : merges.find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id);
  };
  for (size_t i = 0; i < symbols.size(); ++i) look_up(i);
  for (;;) {
    int32_t best = -1;
    for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
      const Merge& pair = pairs[i];
      if (pair.id >= 0 && (best < 0 || pair.rank < pairs[best].rank)) best = i;
    }
    if (best < 0) return;
    const auto left = static_cast<size_t>(best);
    join(symbols, left, pairs[left].id);
    look_up(left);
    if (symbols[left].previous >= 0) look_up(static_cast<size_t>(symbols[left].previous));
  }
}

void merge_long(const Merges& merges, std::vector<Symbol>& symbols) {
  std::vector<uint64_t> heap;  // rank, then position
  const auto pair_at = [&](size_t left) {
    const Symbol& symbol = symbols[left];
    return symbol.next < 0 ? Merge{}
                           : merges.find(symbol.id, symbols[static_cast<size_t>(symbol.next)].id);
  };
  const auto push = [&](size_t left) {
    const Merge merge = pair_at(left);
    if (merge.id >= 0) heap.push_back(static_cast<uint64_t>(merge.rank) << 32 | left);
    return merge.id >= 0;
  };
  for (size_t i = 0; i < symbols.size(); ++i) push(i);
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  const auto push_ordered = [&](size_t left) {
    if (push(left)) std::push_heap(heap.begin(), heap.end(), std::greater<>());
  };
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const uint64_t top = heap.back();
    heap.pop_back();
    const auto left = static_cast<size_t>(top & 0xFFFFFFFF);
    if (symbols[left].bytes == 0) continue;
    const Merge merge = pair_at(left);
    if (merge.id < 0 || merge.rank != top >> 32) continue;  // the pair is another one by now
    join(symbols, left, merge.id);
    push_ordered(left);
    if (symbols[left].previous >= 0) push_ordered(static_cast<size_t>(symbols[left].previous));
  }
}

}  // namespace

Merges::Merges(size_t expected) {
  const size_t slots = std::bit_ceil(std::max<size_t>(16, expected * 2));
  entries_.resize(slots, Entry{.key = kEmpty, .merge = {}});
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
}

bool Merges::add(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = key_of(left, right);
  size_t at = slot(key);
  while (entries_[at].key != kEmpty && entries_[at].key != key) at = (at + 1) & mask_;
  const bool fresh = entries_[at].key == kEmpty;
  entries_[at] = {.key = key, .merge = merge};
  return fresh;
}

void merge_symbols(const Merges& merges, std::vector<Symbol>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortWord) {
    merge_short(merges, symbols);
  } else {
    merge_long(merges, symbols);
  }
}

}  // namespace regroup
