#include "attention_fold.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <span>

#include "dense_fold.h"

namespace regroup {

using at::Tensor;

Tensor matrix_of(const HeadMatrix& matrix, int64_t d) {
  if (matrix.dense.empty()) return at::eye(d, at::kDouble).mul(matrix.scale);
  return at::from_blob(const_cast<double*>(matrix.dense.data()), {d, d}, at::kDouble).clone();
}

namespace {

std::span<double> values_of(const Tensor& head) {
  return {head.data_ptr<double>(), static_cast<size_t>(head.numel())};
}

/// Heads that lie in memory one after another; `heads` must outlive it.
ReadHead reads_head(const Tensor& heads) {
  return [&heads](int64_t head, std::span<double> block) {
    const std::span<double> values = values_of(heads[head]);
    std::copy(values.begin(), values.end(), block.begin());
  };
}

/// `count` heads like those of `heads`, each filled by make(place, read, block).
template <typename Make>
Tensor make_heads(const Tensor& heads, int64_t count, const Make& make) {
  const Tensor source = heads.contiguous();
  std::vector<int64_t> shape = heads.sizes().vec();
  shape.front() = count;
  Tensor made = at::empty(shape, heads.options());
  for (int64_t i = 0; i < count; ++i) make(i, reads_head(source), values_of(made[i]));
  return made;
}

/// Columns of Wo, [n_heads, hidden, head_dim].
Tensor fold_output(const Fold& fold, const LayerTransform& t, const Tensor& o) {
  const Tensor source = o.contiguous();
  Tensor made = at::empty_like(source);
  for (int64_t query = 0; query < o.size(0); ++query) {
    fold.output(t, query,
                {.in = values_of(source[fold.old_query(t, query)]),
                 .out = values_of(made[query]),
                 .rows = o.size(1),
                 .row_size = o.size(2),
                 .head_dim = o.size(2),
                 .from = 0,
                 .to = 0});
  }
  return made;
}

}  // namespace

AttentionWeights fold_attention(const AttentionWeights& w, const LayerTransform& t,
                                const ModelConfig& parent, int64_t n_kv_heads) {
  const Fold fold(&dense_fold(), parent.n_kv_heads / n_kv_heads, parent.group_size());
  const int64_t width = w.k.size(2);  // hidden + 1, of queries too
  const auto merged = [&](const Tensor& heads, KvSide side) {
    return make_heads(heads, n_kv_heads, [&](int64_t group, const ReadHead& read, auto block) {
      fold.merge(t, side, group, width, read, block);
    });
  };
  AttentionWeights out;
  out.k = merged(w.k, KvSide::kKey);
  out.v = merged(w.v, KvSide::kValue);
  out.q = make_heads(w.q, parent.n_heads, [&](int64_t query, const ReadHead& read, auto block) {
    fold.query(t, query, width, read, block);
  });
  out.o = fold_output(fold, t, w.o);
  if (!w.k_gain.defined()) return out;
  out.q_gain = make_heads(w.q_gain, parent.n_heads,
                          [&](int64_t query, const ReadHead& read, std::span<double> block) {
                            read(fold.old_query(t, query), block);
                          });
  out.k_gain =
      make_heads(w.k_gain, n_kv_heads, [&](int64_t group, const ReadHead& read, auto block) {
        fold.merge_gains(t, group, read, block);
      });
  return out;
}

}  // namespace regroup
