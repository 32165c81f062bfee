#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "regroup/model/distillation.h"
#include "regroup/model/lm_head.h"

namespace regroup {

/// Cross-entropy of next-token prediction, fused with the output projection and computed in chunks of
/// tokens: [tokens, vocab] never exists, in no pass. Gradients are taken in the forward pass, those alone that
/// somebody can ask for.
/// @param hidden   [tokens, hidden], the decoder's output
/// @param lm_head  its tensors get gradients only if they require them
/// @param targets  [tokens] int64; negative: not counted
/// @param scale    weight of every token, 1 / (tokens of the whole optimizer step)
/// @return scalar float32: scale * sum of -log softmax(logits)[target]
/// Softmax and sums are taken in float32, the total in float64, whatever the dtype of `hidden`. Neither
/// pass waits for the device.
at::Tensor fused_cross_entropy(const at::Tensor& hidden, const LmHead& lm_head,
                               const at::Tensor& targets, double scale);

/// What the teacher says of the tokens of a micro-batch: its hidden states, from which logits are made
/// chunk by chunk, or what a cache kept of them.
struct TeacherSignal {
  at::Tensor hidden;  ///< [tokens, teacher's hidden]; undefined: top_k holds
  LmHead lm_head;
  TopKLogProbs top_k;  ///< rows are tokens
};

struct DistillationLoss {
  at::Tensor loss;  ///< scalar float32: (1 - A) ce + A T^2 kl, the one to differentiate
  at::Tensor ce;    ///< float64 scalar: scale * sum of cross-entropies
  at::Tensor kl;    ///< float64 scalar: scale * sum of KL(teacher_T || student_T)
};

/// Cross-entropy mixed with the divergence from a teacher, fused with the output projection as above:
/// two [chunk, vocab] at a time, never [tokens, vocab]. With kl_weight 0 loss and gradients are those
/// of fused_cross_entropy up to rounding.
/// Source: arXiv:1503.02531.
DistillationLoss fused_distillation(const at::Tensor& hidden, const LmHead& lm_head,
                                    const at::Tensor& targets, double scale,
                                    const TeacherSignal& teacher, const DistillationMix& mix);

}  // namespace regroup
