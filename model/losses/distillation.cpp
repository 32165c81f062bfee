#include "regroup/model/distillation.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/scalar_tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/distillation_kernels.h"

namespace regroup {
namespace {

using at::Tensor;

/// Calls part(begin, end) for fixed blocks of rows, each with sums of its own, so that threads cannot
/// change the result.
template <typename Part>
DistillationSums sum_blocks(int64_t rows, const Part& part) {
  constexpr int64_t kBlock = 16;
  const int64_t blocks = (rows + kBlock - 1) / kBlock;
  std::vector<kernels::DistillationTerms> terms(static_cast<size_t>(blocks));
  at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b) {
      terms[static_cast<size_t>(b)] = part(b * kBlock, std::min(rows, (b + 1) * kBlock));
    }
  });
  kernels::DistillationTerms sums;
  for (const kernels::DistillationTerms& t : terms) {
    sums.ce += t.ce;
    sums.kl += t.kl;
  }
  return {at::scalar_tensor(sums.ce, at::kDouble), at::scalar_tensor(sums.kl, at::kDouble)};
}

kernels::DistillationFactors factors_of(double scale, const DistillationMix& mix) {
  return {static_cast<float>(scale), static_cast<float>(mix.kl_weight),
          static_cast<float>(mix.temperature)};
}

bool has_kernel(const Tensor& logits) {
  return logits.is_cpu() && logits.scalar_type() == at::kFloat;
}

Tensor total(const Tensor& per_row, const Tensor& counted) {
  return per_row.masked_fill(counted.logical_not(), 0).sum(at::kDouble);
}

/// For devices and dtypes without a kernel: logits become the gradient. `dkl` is d KL / d (logits / T).
DistillationSums finish_composite(const Tensor& logits, const Tensor& kl, const Tensor& dkl,
                                  const Tensor& targets, double scale, const DistillationMix& mix) {
  const Tensor counted = targets.ge(0);
  const Tensor index = targets.clamp_min(0).unsqueeze(1);  // [rows, 1]
  const Tensor log_probs = at::log_softmax(logits, 1);
  const Tensor nll = log_probs.gather(1, index).neg().squeeze(1);
  logits.copy_(log_probs.exp());
  logits.scatter_add_(1, index, at::full_like(nll, -1).unsqueeze(1));
  logits.mul_(1 - mix.kl_weight).add_(dkl, mix.kl_weight * mix.temperature);
  logits.mul_(counted.to(logits.scalar_type()).mul(scale).unsqueeze(1));
  return {total(nll, counted), total(kl, counted)};
}

}  // namespace

DistillationSums distillation_gradient_(const Tensor& student, const Tensor& teacher,
                                        const Tensor& targets, double scale,
                                        const DistillationMix& mix) {
  const int64_t vocab = student.size(1);
  if (has_kernel(student)) {
    return sum_blocks(student.size(0), [&](int64_t begin, int64_t end) {
      return kernels::distillation_rows(student.data_ptr<float>(), teacher.data_ptr<float>(),
                                        targets.data_ptr<int64_t>(), begin, end, vocab,
                                        factors_of(scale, mix));
    });
  }
  const Tensor log_s = at::log_softmax(student.div(mix.temperature), 1);  // [rows, vocab]
  const Tensor log_t = at::log_softmax(teacher.div(mix.temperature), 1);
  const Tensor p = log_t.exp();
  return finish_composite(student, p.mul(log_t.sub(log_s)).sum(1), log_s.exp().sub_(p), targets,
                          scale, mix);
}

DistillationSums distillation_gradient_(const Tensor& student, const TopKLogProbs& teacher,
                                        const Tensor& targets, double scale,
                                        const DistillationMix& mix) {
  const int64_t vocab = student.size(1);
  const int64_t k = teacher.ids.size(1);
  if (has_kernel(student)) {
    const kernels::TopKRows rows = {teacher.ids.data_ptr<int32_t>(),
                                    teacher.log_probs.data_ptr<float>(),
                                    teacher.log_tail.data_ptr<float>(), k};
    return sum_blocks(student.size(0), [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(k));
      return kernels::distillation_top_k_rows(student.data_ptr<float>(), rows,
                                              targets.data_ptr<int64_t>(), begin, end, vocab,
                                              factors_of(scale, mix), scratch.data());
    });
  }
  const Tensor ids = teacher.ids.to(at::kLong);
  const Tensor log_s = at::log_softmax(student.div(mix.temperature), 1);
  const Tensor picked = log_s.gather(1, ids);  // [rows, k]
  const Tensor p = teacher.log_probs.exp();
  const Tensor others = log_s.scatter(1, ids, -std::numeric_limits<float>::infinity());
  const Tensor log_rest = at::logsumexp(others, 1);  // [rows]
  const Tensor tail = teacher.log_tail.exp();
  const Tensor has_tail = log_rest.isfinite().logical_and(teacher.log_tail.gt(-80));
  const Tensor of_tail =
      tail.mul(teacher.log_tail.sub(log_rest)).masked_fill(has_tail.logical_not(), 0);
  const Tensor ratio = teacher.log_tail.sub(log_rest).exp().masked_fill(has_tail.logical_not(), 0);
  const Tensor dkl = others.exp().mul_(ratio.neg().add(1).unsqueeze(1));
  dkl.scatter_(1, ids, picked.exp().sub_(p));
  return finish_composite(student, p.mul(teacher.log_probs.sub(picked)).sum(1).add_(of_tail), dkl,
                          targets, scale, mix);
}

}  // namespace regroup
