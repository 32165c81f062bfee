#pragma once

#include <cstdint>
#include <functional>

#include "regroup/model/decoder.h"
#include "regroup/text/token_stream.h"

namespace regroup {

/// A part of the work on a text: every size-th batch from the rank-th on.
struct TextShare {
  int rank = 0;
  int size = 1;
};

/// Nats of the tokens of a stream, cut into windows of seq_len + 1 tokens at stride seq_len, an
/// empty cache for each; the last window may be shorter. The shares of a stream sum to what the whole has. Sums
/// in float64, so that the result depends on the batch size only through the model's own rounding.
/// @param go_on  called before each batch; where it says no, the rest is left
/// @throws CheckpointError TEXT_TOO_SHORT
double text_nats(const Decoder& decoder, const TokenStream& stream, int64_t seq_len,
                 int64_t windows_at_once, const TextShare& share,
                 const std::function<bool()>& go_on);

/// Sum of -log p(target) over tokens, in float64; a bounded number of logits exists at a time.
/// @param hidden   past the final norm, [tokens, hidden]
/// @param targets  [tokens], int64
double sum_nll(const LmHead& lm_head, const at::Tensor& hidden, const at::Tensor& targets);

}  // namespace regroup
