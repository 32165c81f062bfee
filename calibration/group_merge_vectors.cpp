// What no position turns, values and a part of keys: matrices per head, merged and split again by linear
// algebra.
#include <ATen/ops/bmm.h>
#include <ATen/ops/eye.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/linalg_svd.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/real.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "group_merge.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr int kMaxSweeps = 100;
constexpr double kEnoughGain = 1e-5;
constexpr double kNothing = 1e-300;  // still has a root and an inverse
constexpr double kRidge = 1e-9;      // of a metric's mean diagonal: only keeps the root invertible

/// [m, m, d, d]: E[x_i x_j^T]
Tensor block_of(const VectorMoments& moments, const Members& members) {
  const Tensor index = at::tensor(members, at::kLong);
  return moments.cross.index_select(0, index).index_select(1, index);
}

/// The orthogonal matrix nearest to `x` [d, d].
Tensor polar_factor(const Tensor& x) {
  const auto [u, s, vh] = at::linalg_svd(x, /*full_matrices=*/false);
  return at::matmul(u, vh);
}

/// E[x_g x_g^T] = sum_ij E_i S_ij E_j^T, [d, d]
Tensor moment_of(const Tensor& block, const Tensor& encode) {
  const int64_t m = encode.size(0);
  const int64_t d = encode.size(1);
  const Tensor wide = encode.transpose(0, 1).reshape({d, m * d});
  const Tensor full = block.transpose(1, 2).reshape({m * d, m * d});
  return at::matmul(at::matmul(wide, full), wide.t());
}

double trace_value(const Tensor& x) { return x.trace().item<double>(); }

double mean_energy(const Tensor& block) {
  double sum = 0;
  for (int64_t i = 0; i < block.size(0); ++i) sum += trace_value(block[i][i]);
  return sum / static_cast<double>(block.size(0));
}

struct Roots {
  Tensor root;     // [m, d, d]: M^(1/2)
  Tensor inverse;  // [m, d, d]
};

/// @param metric  [m, d, d]
/// @param unread  the metric's scale where nothing reads the vectors
Roots metric_roots(const Tensor& metric, double unread) {
  const auto [values, vectors] = at::linalg_eigh(metric);  // [m, d], [m, d, d]
  const Tensor mean = values.mean(1, true);
  const Tensor floor = at::where(mean.gt(0), mean.mul(kRidge), at::full_like(mean, unread));
  const Tensor roots = values.maximum(floor).sqrt();
  const Tensor turned = vectors.transpose(1, 2);
  return {at::bmm(vectors.mul(roots.unsqueeze(1)), turned),
          at::bmm(vectors.div(roots.unsqueeze(1)), turned)};
}

/// The group's vectors side by side in their metrics, [m d, m d].
Tensor metric_block(const Tensor& block, const Roots& roots) {
  const int64_t m = block.size(0);
  const int64_t d = block.size(2);
  const Tensor left = at::matmul(roots.root.unsqueeze(1), block);  // [m, m, d, d]
  return at::matmul(left, roots.root.unsqueeze(0)).transpose(1, 2).reshape({m * d, m * d});
}

/// A merge of vectors without channels.
VectorMerge nothing(int64_t m) {
  const Tensor empty = at::zeros({m, 0, 0}, at::kDouble);
  return {empty, empty};
}

}  // namespace

VectorMerge align_vectors(const VectorMoments& moments, const Members& members, bool restore_norm) {
  const Tensor block = block_of(moments, members);
  const auto m = static_cast<int64_t>(members.size());
  if (block.numel() == 0) return nothing(m);
  std::vector<Tensor> turn = {at::eye(block.size(2), at::kDouble)};
  for (int64_t j = 1; j < m; ++j) turn.push_back(polar_factor(block[0][j]));
  double before = -1;
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    double agreement = 0;
    for (int64_t i = 0; i < m; ++i) {
      Tensor pull = at::matmul(turn[0], block[0][i]).mul(i == 0 ? 0.0 : 1.0);
      for (int64_t j = 1; j < m; ++j) {
        if (j != i) pull.add_(at::matmul(turn[static_cast<size_t>(j)], block[j][i]));
      }
      const auto [u, s, vh] = at::linalg_svd(pull, /*full_matrices=*/false);
      agreement += s.sum().item<double>();
      const bool singular = s[-1].item<double>() <= 1e-12 * s[0].item<double>();
      if (!singular) turn[static_cast<size_t>(i)] = at::matmul(u, vh);
    }
    if (agreement - before <= kEnoughGain * std::abs(agreement)) break;
    before = agreement;
  }
  const Tensor gauge = turn[0].t().contiguous();
  for (Tensor& t : turn) t = at::matmul(gauge, t);
  const Tensor all = at::stack(turn);  // [m, d, d]
  VectorMerge merge{all.div(static_cast<double>(m)), all.transpose(1, 2).contiguous()};
  if (restore_norm) {
    const double merged = trace_value(moment_of(block, merge.encode));
    if (merged > 0) merge.encode.mul_(std::sqrt(mean_energy(block) / merged));
  }
  return merge;
}

VectorMerge pca_vectors(const VectorMoments& moments, const Members& members) {
  const Tensor block = block_of(moments, members);
  const auto m = static_cast<int64_t>(members.size());
  const int64_t d = block.size(2);
  if (d == 0) return nothing(m);
  // Values that nothing reads count alike: they may be read after some training.
  const Roots roots =
      metric_roots(moments.metric.index_select(0, at::tensor(members, at::kLong)), 1.0);
  const auto [values, vectors] = at::linalg_eigh(metric_block(block, roots));  // ascending
  const Tensor top = vectors.narrow(1, (m - 1) * d, d).reshape({m, d, d});     // U_i
  Tensor encode = at::bmm(top.transpose(1, 2), roots.root);
  Tensor decode = at::bmm(roots.inverse, top);
  // The gauge: the first member's decoder symmetric and positive, so that the merged vector keeps that
  // head's channels, and the merged vector as large as the members.
  const Tensor turn = polar_factor(decode[0]);  // [d, d]
  encode = at::matmul(turn, encode);
  decode = at::matmul(decode, turn.t());
  const double merged = trace_value(moment_of(block, encode));
  const double scale = merged > 0 ? std::sqrt(mean_energy(block) / merged) : 1.0;
  if (std::isfinite(scale) && scale > 0) {
    encode = encode.mul(scale);
    decode = decode.div(scale);
  }
  return {encode, decode};
}

Tensor merged_moment(const VectorMoments& moments, const Members& members,
                     const VectorMerge& merge) {
  return moment_of(block_of(moments, members), merge.encode);
}

Residual& Residual::operator+=(const Residual& other) {
  lost += other.lost;
  total += other.total;
  return *this;
}

Residual vector_residual(const VectorMoments& moments, const Members& members,
                         const VectorMerge& merge) {
  const Tensor block = block_of(moments, members);
  const auto m = static_cast<int64_t>(members.size());
  const Tensor merged = moment_of(block, merge.encode);
  Residual sum;
  for (int64_t i = 0; i < m; ++i) {
    Tensor cross = at::matmul(merge.encode[0], block[0][i]);  // E[x_g x_i^T]
    for (int64_t j = 1; j < m; ++j) cross.add_(at::matmul(merge.encode[j], block[j][i]));
    const double own = trace_value(block[i][i]);
    const Tensor again = at::matmul(at::matmul(merge.decode[i], merged), merge.decode[i].t());
    sum += {own - 2 * trace_value(at::matmul(merge.decode[i], cross)) + trace_value(again), own};
  }
  sum.lost = std::max(0.0, sum.lost);
  return sum;
}

Tensor in_metric(const VectorMoments& moments) {
  const Tensor root = metric_roots(moments.metric, kNothing).root;
  const Tensor left = at::matmul(root.unsqueeze(1), moments.cross);
  return at::matmul(left, root.unsqueeze(0));
}

namespace {

/// s_ij / sqrt(s_ii s_jj)
Tensor normalised(const Tensor& s) {
  const Tensor own = s.diagonal().clamp_min(1e-300);
  return s.div(own.unsqueeze(0).mul(own.unsqueeze(1)).sqrt());
}

}  // namespace

Tensor aligned_similarity(const HeadMoments& moments) {
  const auto agreement = [](const VectorMoments& vectors) {
    return at::linalg_svdvals(vectors.cross).sum(-1);
  };
  return normalised(agreement(moments.value))
      .add(normalised(moments.key.abs().sum(0).add(agreement(moments.key_rest))));
}

Tensor plain_similarity(const HeadMoments& moments) {
  const auto agreement = [](const VectorMoments& vectors) {
    return vectors.cross.diagonal(0, 2, 3).sum(-1);
  };
  return normalised(agreement(moments.value))
      .add(normalised(at::real(moments.key).sum(0).add(agreement(moments.key_rest))));
}

}  // namespace regroup
