#include "cross_entropy.h"

#include <ATen/Parallel.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>
#include <vector>

#include "kernels/kernels.h"

namespace regroup {

using at::Tensor;

Tensor cross_entropy_(const Tensor& logits, const Tensor& targets, double scale) {
  const int64_t rows = logits.size(0);
  const int64_t vocab = logits.size(1);
  if (logits.is_cpu()) {
    // Fixed blocks, each with a sum of its own, so that threads cannot change the result.
    constexpr int64_t kBlock = 64;
    const int64_t blocks = (rows + kBlock - 1) / kBlock;
    std::vector<double> sums(static_cast<size_t>(blocks));
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        sums[static_cast<size_t>(b)] = kernels::cross_entropy_rows(
            logits.data_ptr<float>(), targets.data_ptr<int64_t>(), b * kBlock,
            std::min(rows, (b + 1) * kBlock), vocab, static_cast<float>(scale));
      }
    });
    double total = 0;
    for (const double sum : sums) total += sum;
    return at::scalar_tensor(total, at::kDouble);
  }
  const Tensor counted = targets.ge(0);
  const Tensor index = targets.clamp_min(0).unsqueeze(1);  // [rows, 1]
  const Tensor log_probs = at::log_softmax(logits, 1);
  const Tensor picked = log_probs.gather(1, index).squeeze(1).masked_fill(counted.logical_not(), 0);
  logits.copy_(log_probs.exp());
  logits.scatter_add_(1, index, at::full_like(picked, -1).unsqueeze(1));
  logits.mul_(counted.to(at::kFloat).mul(scale).unsqueeze(1));
  return picked.sum(at::kDouble).neg();
}

}  // namespace regroup
