#include "cached_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/scaled_dot_product_attention.h>

namespace regroup {

using at::Tensor;

Tensor visibility(int64_t seq, int64_t past, int64_t window, at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const Tensor query = at::arange(past, past + seq, options).unsqueeze(1);  // [seq, 1]
  const Tensor key = at::arange(0, past + seq, options).unsqueeze(0);       // [1, past + seq]
  Tensor visible = key.le(query);
  if (window > 0) visible = visible.logical_and(key.gt(query.sub(window)));
  return visible;
}

Tensor cached_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask) {
  // A GPU's kernels take a mask or fewer KV heads, not both: the scores of all heads would stand in memory.
  const int64_t readers = q.size(1) / k.size(1);
  const bool repeats = mask.defined() && readers > 1 && !q.is_cpu();
  const auto heads = [&](const Tensor& x) { return repeats ? x.repeat_interleave(readers, 1) : x; };
  const Tensor keys = heads(k);
  const Tensor mixed = at::scaled_dot_product_attention(
      q, keys, heads(v), mask.defined() ? std::optional(mask) : std::nullopt, /*dropout_p=*/0.0,
      /*is_causal=*/false, /*scale=*/std::nullopt, /*enable_gqa=*/q.size(1) != keys.size(1));
  return mixed.transpose(1, 2).flatten(2);
}

}  // namespace regroup
