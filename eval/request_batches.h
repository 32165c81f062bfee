#pragma once

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/eval/request_scorer.h"

namespace regroup {

/// Requests of one item that begin with the same tokens, or one request.
struct RequestGroup {
  size_t first = 0;  ///< of the requests
  size_t count = 1;
  int64_t prefix = 0;  ///< tokens fed once; of one request: all that are fed
  int64_t suffix = 0;  ///< tokens that the longest one is fed beyond
  bool alone = false;  ///< in a batch of its own: its positions depend on its length
};

/// What is fed at once: groups whose prefixes are equally long.
using RequestBatch = std::vector<RequestGroup>;

/// @param requests  those of an item stand one behind the other
std::vector<RequestBatch> make_request_batches(const std::vector<TokenRequest>& requests,
                                               const ModelConfig& config,
                                               const RequestBatching& batching);

}  // namespace regroup
