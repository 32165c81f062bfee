#pragma once

#include <cstdint>
#include <functional>

#include "regroup/model/decoder.h"
#include "regroup/text/token_stream.h"

namespace regroup {

/// Mean nats a token over a whole stream, cut into windows of seq_len + 1 tokens at stride seq_len, an
/// empty cache for each; the last window may be shorter. Sums in float64, so that the result depends
/// on the batch size only through the model's own rounding.
/// @param before_batch  called before each batch; it may throw to end the work
/// @throws CheckpointError TEXT_TOO_SHORT
double text_loss(const Decoder& decoder, const TokenStream& stream, int64_t seq_len,
                 int64_t windows_at_once, const std::function<void()>& before_batch = {});

/// Sum of -log p(target) over tokens, in float64; a bounded number of logits exists at a time.
/// @param hidden   past the final norm, [tokens, hidden]
/// @param targets  [tokens], int64
double sum_nll(const LmHead& lm_head, const at::Tensor& hidden, const at::Tensor& targets);

}  // namespace regroup
