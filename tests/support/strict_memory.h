#pragma once

#include <c10/core/Allocator.h>

#include <vector>

namespace regroup::testing {

/// Memory of the strict device: pages of their own for each block, closed unless somebody holds them open.
/// Fresh memory reads as NaN.
c10::Allocator* strict_allocator();
/// Host memory of which is_pinned() knows.
c10::Allocator* pinned_allocator();
bool is_pinned(const void* data);

/// Opens the blocks that begin at `blocks` while it lives. Blocks may be opened several times.
class OpenBlocks {
 public:
  explicit OpenBlocks(std::vector<void*> blocks);
  OpenBlocks(const OpenBlocks&) = delete;
  OpenBlocks& operator=(const OpenBlocks&) = delete;
  ~OpenBlocks();

 private:
  std::vector<void*> blocks_;
};

}  // namespace regroup::testing
