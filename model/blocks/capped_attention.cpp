#include "capped_attention.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace regroup {
namespace {

using at::Tensor;

constexpr int64_t kScoresAtOnce = int64_t{1} << 24;  // elements

/// [queries, keys] bool: what queries [first, first + queries) may not see of keys from `first_key` on.
Tensor hidden_keys(int64_t first, int64_t queries, int64_t first_key, int64_t keys, int64_t window,
                   at::Device device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const Tensor query = at::arange(first, first + queries, options).unsqueeze(1);
  const Tensor key = at::arange(first_key, first_key + keys, options).unsqueeze(0);
  const Tensor late = key.gt(query);
  return window > 0 ? late.logical_or(key.le(query.sub(window))) : late;
}

}  // namespace

Tensor capped_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window,
                        double cap) {
  const int64_t seq = q.size(2);
  const int64_t past = k.size(2) - seq;
  const int64_t readers = q.size(1) / k.size(1);
  const double scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const Tensor grouped = q.unflatten(1, {k.size(1), readers});  // [batch, G, H / G, seq, head_dim]
  const int64_t block = std::clamp<int64_t>(
      kScoresAtOnce / std::max<int64_t>(1, q.size(0) * q.size(1) * k.size(2)), 1, seq);
  std::vector<Tensor> mixed;
  for (int64_t first = 0; first < seq; first += block) {
    const int64_t n = std::min(block, seq - first);
    const int64_t first_key = window > 0 ? std::max<int64_t>(0, past + first + 1 - window) : 0;
    const int64_t keys = past + first + n - first_key;
    const Tensor rows =
        grouped.narrow(3, first, n).flatten(2, 3);  // [batch, G, H / G * n, head_dim]
    const Tensor products =
        at::matmul(rows, k.narrow(2, first_key, keys).transpose(-1, -2)).unflatten(2, {readers, n});
    Tensor scores = products.scalar_type() == at::kDouble ? products : products.to(at::kFloat);
    scores = scores.mul(scale / cap);  // one after the other: each lets go of the one before
    scores = scores.tanh();
    scores = scores.mul(cap);
    scores = scores.masked_fill(hidden_keys(past + first, n, first_key, keys, window, q.device()),
                                -std::numeric_limits<double>::infinity());
    const Tensor shares = at::softmax(scores, -1).to(v.scalar_type()).flatten(2, 3);
    mixed.push_back(at::matmul(shares, v.narrow(2, first_key, keys)).unflatten(2, {readers, n}));
  }
  const Tensor all = mixed.size() == 1 ? mixed.front() : at::cat(mixed, 3);
  return all.flatten(1, 2).transpose(1, 2).flatten(2);
}

}  // namespace regroup
