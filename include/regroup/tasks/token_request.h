#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/tasks/task.h"
#include "regroup/text/tokenizer.h"

namespace regroup {

/// Tokens of which the last ones are scored, each behind all before it.
struct TokenRequest {
  std::vector<int64_t> ids;  ///< at most max_length + 1; the last one is never fed to the model
  int64_t scored = 0;        ///< how many at the end are scored, at least 1
  size_t item = 0;           ///< the document that asks
};

/// What a model says of one request.
struct RequestScore {
  double log_likelihood = 0;  ///< of the scored tokens, nats
  bool greedy = false;        ///< each of them is the likeliest
  int64_t matched = 0;        ///< how many of them are
};

/// A document that the model's context has no room for.
struct TooLongItem {
  size_t item = 0;
  int64_t tokens = 0;  ///< of its longest continuation, or that its answer may have
};

struct EncodedTask {
  std::vector<TokenRequest>
      requests;  ///< in the order of task.requests; several windows a text where it rolls
  int64_t truncated =
      0;  ///< requests that lost tokens at their start: the model's context is shorter
  std::vector<TooLongItem> too_long = {};  ///< have no requests, in order
};

/// Ids of what a model is asked, with what its tokenizer puts around texts, but no second BOS where the text of a chat template
/// begins with one.
std::vector<int32_t> encode_prompt(const Tokenizer& tokenizer, std::string_view text);

/// Requests as tokens. A context and its continuation are encoded together and cut where the context alone would end; white
/// space at the end of the context counts to the continuation (_encode_pair of lm-evaluation-harness).
/// @param max_length  tokens that the model is fed at most; what is too long loses tokens at its start, and a document of
///                    which a continuation alone is too long is not asked
/// @throws CheckpointError TASK_SCHEMA  a continuation has no token
EncodedTask encode_task(const Task& task, const Tokenizer& tokenizer, int64_t max_length,
                        BosMode bos_mode = BosMode::kHarness);

/// The scores of each document's requests; the windows of a text are summed.
std::vector<std::vector<RequestScore>> scores_by_item(const Task& task, const EncodedTask& encoded,
                                                      const std::vector<RequestScore>& scores);

}  // namespace regroup
