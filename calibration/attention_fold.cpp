#include "attention_fold.h"

#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>

namespace regroup {

using at::Tensor;

Tensor matrix_of(const HeadMatrix& matrix, int64_t d) {
  if (matrix.dense.empty()) return at::eye(d, at::kDouble).mul(matrix.scale);
  return at::from_blob(const_cast<double*>(matrix.dense.data()), {d, d}, at::kDouble).clone();
}

namespace {

/// The merged key and value weights of group g: its members' encoders on their weights.
template <typename Encode>
Tensor merge_rows(const Tensor& heads, const LayerTransform& t, const Encode& encode, int64_t group,
                  int64_t size) {
  const int64_t d = heads.size(1);
  Tensor sum = at::zeros_like(heads[0]);
  for (int64_t i = group * size; i < (group + 1) * size; ++i) {
    const auto at = static_cast<size_t>(i);
    sum.add_(at::matmul(matrix_of(encode[at], d), heads[t.permutation[at]]));
  }
  return sum.div(t.divisor);
}

/// Gains move with their heads; those of keys that become one are weighted as the keys are.
std::pair<Tensor, Tensor> fold_gains(const AttentionWeights& w, const LayerTransform& t,
                                     const ModelConfig& parent, int64_t n_kv_heads) {
  const int64_t readers = parent.group_size();
  const Tensor order = at::tensor(t.permutation, at::kLong);
  const Tensor q = w.q_gain.unflatten(0, {-1, readers}).index_select(0, order).flatten(0, 1);
  std::vector<double> scales;
  for (const HeadMatrix& encode : t.encode_key) scales.push_back(encode.scale);
  const Tensor weights = at::tensor(scales, at::kDouble).view({n_kv_heads, -1, 1});
  const Tensor sum = weights.sum(1, true);
  const Tensor shares =
      at::where(sum.ne(0), weights.div(sum),
                at::full_like(weights, 1.0 / static_cast<double>(weights.size(1))));
  const Tensor k = w.k_gain.index_select(0, order).unflatten(0, {n_kv_heads, -1});
  return {q, k.mul(shares).sum(1)};
}

}  // namespace

AttentionWeights fold_attention(const AttentionWeights& w, const LayerTransform& t,
                                const ModelConfig& parent, int64_t n_kv_heads) {
  const int64_t size = parent.n_kv_heads / n_kv_heads;
  const int64_t readers = parent.group_size();
  std::vector<Tensor> q;
  std::vector<Tensor> k;
  std::vector<Tensor> v;
  std::vector<Tensor> o;
  AttentionWeights out;
  for (int64_t g = 0; g < n_kv_heads; ++g) {
    k.push_back(merge_rows(w.k, t, t.encode_key, g, size));
    v.push_back(merge_rows(w.v, t, t.encode_value, g, size));
  }
  for (int64_t h = 0; h < parent.n_heads; ++h) {
    const auto kv = static_cast<size_t>(h / readers);
    const int64_t old = t.permutation[kv] * readers + h % readers;
    const auto at = static_cast<size_t>(h);
    q.push_back(at::matmul(matrix_of(t.decode_key[kv], parent.head_dim).t(), w.q[old])
                    .mul(t.logit_gain[at]));
    o.push_back(at::matmul(w.o[old], matrix_of(t.decode_value[kv], parent.head_dim))
                    .mul(t.output_gain[at]));
  }
  out.q = at::stack(q);
  out.k = at::stack(k);
  out.v = at::stack(v);
  out.o = at::stack(o);
  if (w.k_gain.defined()) std::tie(out.q_gain, out.k_gain) = fold_gains(w, t, parent, n_kv_heads);
  return out;
}

}  // namespace regroup
