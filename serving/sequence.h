#pragma once

#include <cstddef>
#include <cstdint>

namespace regroup {

/// A request that waits for its prompt, and what it has made so far, to be read.
struct Waiting {
  size_t request = 0;
  int64_t generated = 0;     ///< tokens of its output
  double first_token_s = 0;  ///< from arrival; valid once generated > 0
  int64_t computed = 0;      ///< tokens that it had in the cache when it gave that up
  bool started = false;      ///< has run before
};

/// A sequence that holds blocks.
struct Running {
  Waiting from;
  int64_t context = 0;      ///< tokens that it joined, or is to join, the growing ones with
  int64_t joined = -1;      ///< the step at which it did; -1: its context is being read
  int64_t unread = 0;       ///< tokens of its context
  int64_t cached = 0;       ///< blocks of its prompt that it uses in the prefix cache
  int64_t shared = 0;       ///< the same in blocks of the cache
  uint32_t generation = 0;  ///< of the slot: old events are told from new ones
};

/// Where a sequence is, and which of those that were there.
struct Place {
  size_t slot = 0;
  uint32_t generation = 0;
};

struct Ending {
  int64_t step = 0;
  Place place;
  bool operator>(const Ending& other) const { return step > other.step; }
};

}  // namespace regroup
