#pragma once

#include <ATen/core/Tensor.h>

#include "regroup/model/distillation_mix.h"

namespace regroup {

/// Sums over tokens, in nats, not scaled: float64 scalars on the device of the logits, for which nobody
/// has waited.
struct DistillationSums {
  at::Tensor ce;  ///< -log softmax(student)[target], temperature 1
  at::Tensor kl;  ///< KL(teacher_T || student_T), without T^2
};

/// A teacher of which only its likeliest ids are known.
struct TopKLogProbs {
  at::Tensor ids;        ///< [rows, k] int32, different within a row
  at::Tensor log_probs;  ///< [rows, k] float32, at temperature T
  at::Tensor log_tail;   ///< [rows] float32: log of the mass of all other ids; -inf: none
};

/// Losses and their gradient in one go: `student` becomes scale times the gradient of each row's loss.
/// Exactly zero in value and KL gradient where teacher and student hold the same bits.
/// @param student  [rows, vocab] float32 logits, overwritten. float64 is taken too; it goes the way of
///                 devices that have no kernel, a composition of ATen operations
/// @param teacher  [rows, vocab] float32 logits, overwritten too
/// @param targets  [rows] int64; a negative target counts nothing, in the KL neither
/// Sums are taken in float64 over fixed blocks of rows: threads do not change the result.
DistillationSums distillation_gradient_(const at::Tensor& student, const at::Tensor& teacher,
                                        const at::Tensor& targets, double scale,
                                        const DistillationMix& mix);

/// The same with KL over k + 1 buckets, the k ids and the rest: a lower bound of the full KL, equal to
/// it at k = vocab.
DistillationSums distillation_gradient_(const at::Tensor& student, const TopKLogProbs& teacher,
                                        const at::Tensor& targets, double scale,
                                        const DistillationMix& mix);

}  // namespace regroup
