#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "regroup/model/decoder.h"
#include "regroup/tasks/token_request.h"

namespace regroup {

/// A request that has not been scored.
RequestScore unscored();
bool is_scored(const RequestScore& score);

struct RequestBatching {
  int64_t batch_tokens = 0;    ///< fed to the model at once; 0: about 4,096
  bool share_prefixes = true;  ///< false: every request is fed whole
};

/// Tokens that are fed at once on such a device, about.
int64_t tokens_at_once(const RequestBatching& batching, at::Device device);

/// How far score_requests() is, inside a batch too.
struct RequestProgress {
  int64_t requests = 0;  ///< done, earlier ones counted
  int64_t tokens =
      0;  ///< fed, of `all_tokens`; those of a batch count as far as its layers are done
  int64_t all_tokens = 0;  ///< that this call feeds
  double share = 0;        ///< of this call's arithmetic, in [0, 1]
};

/// Log-likelihoods of requests. Requests stand side by side in one row of tokens, those that begin alike share what they
/// begin with, and nothing is padded. Which are fed together follows from the requests alone, not from their order, so
/// that neither changes a score.
/// @param scores       [requests], unscored() or from an earlier run; filled
/// @param after_batch  called with the requests done so far; it may throw to end the work
/// @param progress     called after each layer of each batch
/// @throws CheckpointError VAL_NONFINITE when the model gives no number
void score_requests(const Decoder& model, const std::vector<TokenRequest>& requests,
                    const RequestBatching& batching, std::vector<RequestScore>& scores,
                    const std::function<void(int64_t done)>& after_batch = {},
                    const std::function<void(const RequestProgress&)>& progress = {});

}  // namespace regroup
