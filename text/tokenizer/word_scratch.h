#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "merges.h"
#include "word_cache.h"

namespace regroup {

/// What encoding needs besides the model, one for each text that is being encoded: buffers, and the pieces seen before.
struct WordScratch {
  /// The best way to cut a piece up to a position.
  struct BestCut {
    double score = 0;
    int32_t id = -1;
    int32_t begin = -1;  ///< where its last token begins; -1: not reached
  };
  WordCache cache;
  std::vector<Symbol> symbols;  ///< of BPE
  std::vector<BestCut> cuts;    ///< of Unigram
};

/// Lends scratch, and keeps it for the next text.
class ScratchPool {
 public:
  struct GiveBack {
    ScratchPool* pool = nullptr;
    void operator()(WordScratch* scratch) const { pool->put({scratch, {}}); }
  };
  using Lease = std::unique_ptr<WordScratch, GiveBack>;

  Lease take() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return Lease(std::make_unique<WordScratch>().release(), {this});
    WordScratch* last = idle_.back().release();
    idle_.pop_back();
    return Lease(last, {this});
  }

 private:
  void put(std::unique_ptr<WordScratch> scratch) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(scratch));
  }
  std::mutex mutex_;
  std::vector<std::unique_ptr<WordScratch>> idle_;
};

}  // namespace regroup
