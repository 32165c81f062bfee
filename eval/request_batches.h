#pragma once

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/eval/request_scorer.h"
#include "regroup/model/token_tree.h"

namespace regroup {

/// Of requests, and of windows of a text, where no batch size is given.
inline constexpr int64_t kTokensAtOnce = 4096;

/// What is fed at once.
struct RequestBatch {
  std::vector<size_t> requests;
  std::vector<size_t> ends;  ///< [requests] the node in which the last token that is fed stands
  TokenTree tree;
  std::vector<int64_t> ids;  ///< [tree.size()]

  /// Where the token at `position` of requests[member] stands among `ids`.
  int64_t row_of(size_t member, int64_t position) const;
};

/// Batches follow from the requests alone, not from their order. One whose positions depend on its length is in a
/// batch of its own.
std::vector<RequestBatch> make_request_batches(const std::vector<TokenRequest>& requests,
                                               const ModelConfig& config,
                                               const RequestBatching& batching);

}  // namespace regroup
