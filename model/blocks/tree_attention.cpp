#include "tree_attention.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>

#include "cached_attention.h"
#include "capped_attention.h"
#include "heads.h"
#include "kernels/kernel_types.h"

namespace regroup {
namespace {

using at::Tensor;
using kernels::AttentionShape;
using kernels::HeadRows;
using kernels::RowSpan;

/// The heads [head, ...) of x [1, heads, tokens, head_dim], from `token` on.
template <typename T>
HeadRows<T> rows_from(const Tensor& x, int64_t head, int64_t token) {
  using Plain = std::remove_const_t<T>;
  return {static_cast<Plain*>(x.data_ptr()) + head * x.stride(1) + token * x.stride(2), x.stride(1),
          x.stride(2)};
}

Tensor with_dense_columns(const Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

}  // namespace

TreeAttention::TreeAttention(const TokenTree& tree, const ModelConfig& config, at::ScalarType dtype,
                             at::Device device)
    : tree_(tree),
      config_(config),
      has_kernel_(
          kernels::has_kernel(at::empty({0}, at::TensorOptions().dtype(dtype).device(device)))),
      past_(tree.nodes.size()) {
  for (size_t n = 0; n < tree.nodes.size(); ++n) {
    const int64_t own = tree.nodes[n].first;
    for (int64_t p = tree.nodes[n].parent; p >= 0;) {
      const TokenTree::Node& parent = tree.nodes[static_cast<size_t>(p)];
      past_[n].push_back({parent.first - own, parent.count});
      p = parent.parent;
    }
    std::reverse(past_[n].begin(), past_[n].end());
  }
  if (device.is_cpu() || config.caps.scores > 0 || tree.nodes.size() == 1) return;
  mask_ = visible(0, device);
  if (config.sliding_window) window_mask_ = visible(*config.sliding_window, device);
}

Tensor TreeAttention::visible(int64_t window, at::Device device) const {
  const Tensor mask = at::zeros({tree_.size(), tree_.size()}, at::kBool);
  for (size_t n = 0; n < tree_.nodes.size(); ++n) {
    const TokenTree::Node& own = tree_.nodes[n];
    std::vector<RowSpan> runs = past_[n];
    runs.push_back({0, own.count});
    for (int64_t i = 0; i < own.count; ++i) {
      bool* row = mask.data_ptr<bool>() + (own.first + i) * tree_.size() + own.first;
      const int64_t position = own.past + i;
      const int64_t unseen = window > 0 ? std::max<int64_t>(0, position - window + 1) : 0;
      int64_t at = 0;  // the position of a run's first token
      for (const RowSpan& run : runs) {
        const int64_t from = std::clamp<int64_t>(unseen - at, 0, run.count);
        const int64_t to = std::clamp<int64_t>(position + 1 - at, from, run.count);
        std::fill(row + run.first + from, row + run.first + to, true);
        at += run.count;
      }
    }
  }
  return mask.to(device);
}

Tensor TreeAttention::positions() const {
  const Tensor result = at::empty({tree_.size()}, at::kLong);
  auto* p = result.data_ptr<int64_t>();
  for (const TokenTree::Node& node : tree_.nodes) {
    for (int64_t i = 0; i < node.count; ++i) p[node.first + i] = node.past + i;
  }
  return result;
}

Tensor TreeAttention::with_kernel(const Tensor& queries, const Tensor& keys, const Tensor& values,
                                  int64_t window) const {
  const Tensor q = with_dense_columns(queries);
  const Tensor k = with_dense_columns(keys);
  const Tensor v = with_dense_columns(values);
  const int64_t n_kv_heads = k.size(1);
  const int64_t group_size = q.size(1) / n_kv_heads;
  // Memory in the order [tokens, heads, head_dim].
  const Tensor out = at::empty({1, q.size(2), q.size(1), q.size(3)}, q.options()).transpose(1, 2);
  const auto shape_of = [&](size_t n) {
    return AttentionShape{.seq = tree_.nodes[n].count,
                          .head_dim = q.size(3),
                          .group_size = group_size,
                          .window = window,
                          .scale = 1.0f / std::sqrt(static_cast<float>(q.size(3))),
                          .past = past_[n]};
  };
  int64_t scratch_size = 0;
  int64_t longest = 0;
  for (size_t n = 0; n < tree_.nodes.size(); ++n) {
    scratch_size = std::max(scratch_size, kernels::attention_scratch(shape_of(n)));
    longest = std::max(longest, tree_.nodes[n].count);
  }
  const auto n_nodes = static_cast<int64_t>(tree_.nodes.size());
  kernels::with_type(q, [&]<typename T>(T*) {
    at::parallel_for(0, n_nodes * n_kv_heads, 1, [&](int64_t begin, int64_t end) {
      std::vector<float> scratch(static_cast<size_t>(scratch_size + group_size * longest));
      float* lse = scratch.data() + scratch_size;
      for (int64_t i = begin; i < end; ++i) {
        // A head after the other, so that the heads of a long run fall to different threads.
        const auto n = static_cast<size_t>(i % n_nodes);
        const int64_t head = i / n_nodes;
        const int64_t first = tree_.nodes[n].first;
        kernels::attention_forward(
            shape_of(n), rows_from<const T>(q, head * group_size, first),
            rows_from<const T>(k, head, first), rows_from<const T>(v, head, first),
            rows_from<T>(out, head * group_size, first), lse, scratch.data());
      }
    });
  });
  return out.transpose(1, 2).flatten(2);
}

/// Without a kernel: a run of tokens after the other. A mask would see all tokens of the row, which pays on a GPU alone.
Tensor TreeAttention::run_by_run(const Tensor& q, const Tensor& k, const Tensor& v,
                                 int64_t window) const {
  std::vector<Tensor> mixed;
  for (size_t n = 0; n < tree_.nodes.size(); ++n) {
    const TokenTree::Node& own = tree_.nodes[n];
    const auto sequence = [&](const Tensor& x) {  // [1, n_kv_heads, past + count, head_dim]
      std::vector<Tensor> runs;
      for (const RowSpan& run : past_[n]) {
        runs.push_back(x.narrow(2, own.first + run.first, run.count));
      }
      runs.push_back(x.narrow(2, own.first, own.count));
      return at::cat(runs, 2);
    };
    const Tensor queries = q.narrow(2, own.first, own.count);
    mixed.push_back(
        config_.caps.scores > 0
            ? capped_attention(queries, sequence(k), sequence(v), window, config_.caps.scores)
            : cached_attention(queries, sequence(k), sequence(v),
                               visibility(own.count, own.past, window, q.device())));
  }
  return at::cat(mixed, 1);
}

Tensor TreeAttention::attend(int64_t layer, const Tensor& q, const Tensor& k,
                             const Tensor& v) const {
  if (tree_.nodes.size() == 1) return attend_all(config_, layer, q, k, v);
  const int64_t window = window_of(config_, layer);
  if (has_kernel_ && config_.caps.scores == 0) return with_kernel(q, k, v, window);
  if (!mask_.defined()) return run_by_run(q, k, v, window);
  return cached_attention(q, k, v, window > 0 ? window_mask_ : mask_);
}

}  // namespace regroup
