// Keys: one complex number a head and rotary plane, and a matrix a head for what no position turns.
#include <ATen/ops/full_like.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/real.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>

#include <cmath>

#include "group_merge.h"

namespace regroup {
namespace {

using at::Tensor;

constexpr int kMaxSweeps = 100;
constexpr double kEnoughGain = 1e-5;
/// A member whose queries are (nearly) silent in a plane must not blow the plane up.
constexpr double kNothing = 1e-300;  // still has a root and an inverse
constexpr double kMinEnergyShare = 1e-6;

Tensor index_of(const Members& members) { return at::tensor(members, at::kLong); }

/// [planes, m, m] complex
Tensor block_of(const HeadMoments& moments, const Members& members) {
  const Tensor index = index_of(members);
  return moments.key.index_select(1, index).index_select(2, index);
}

Tensor phase_of(const Tensor& z) {
  const Tensor size = z.abs();
  const Tensor unit = z.div(size.clamp_min(1e-300));
  return at::where(size.gt(1e-300), unit, at::ones({}, z.options()));
}

/// Energy of the members and of the merged key, per plane. @return {E|z_i|^2 [m, planes], E|k_g|^2}
std::pair<Tensor, Tensor> energies(const Tensor& block, const Tensor& encode) {
  const Tensor own = at::real(block.diagonal(0, 1, 2)).t().clamp_min(0.0);  // [m, planes]
  const Tensor row = encode.t().unsqueeze(1);                               // [planes, 1, m]
  const Tensor merged = at::matmul(at::matmul(row, block), row.conj().transpose(1, 2));
  return {own, at::real(merged).flatten().clamp_min(0.0)};  // [planes]
}

/// sqrt of the energy of the queries that read each member, [m, planes].
/// @param unread  the energy that all members get in a plane where every query is zero
Tensor query_weights(const HeadMoments& moments, const Members& members, int64_t readers,
                     double unread) {
  const int64_t kv = moments.query_energy.size(0) / readers;
  const Tensor energy = moments.query_energy.unflatten(0, {kv, readers})
                            .sum(1)
                            .index_select(0, index_of(members));  // [m, planes]
  const Tensor mean = energy.mean(0, true);
  const Tensor floor =
      at::where(mean.gt(0), mean.mul(kMinEnergyShare), at::full_like(mean, unread));
  return energy.maximum(floor).sqrt();
}

/// [planes, m, m], each member times its weight.
Tensor weighted_block(const Tensor& block, const Tensor& weights) {
  const Tensor w = weights.t();  // [planes, m]
  return block.mul(w.unsqueeze(2)).mul(w.unsqueeze(1));
}

/// Mean over members of E|k|^2 outside the planes.
double mean_rest_energy(const HeadMoments& moments, const Members& members) {
  return moments.key_rest.cross
      .diagonal(0, 0, 1)  // [r, r, kv]
      .index_select(2, index_of(members))
      .diagonal(0, 0, 1)
      .sum(1)
      .mean()
      .item<double>();
}

}  // namespace

KeyMerge align_keys(const HeadMoments& moments, const Members& members, bool restore_norm) {
  const Tensor block = block_of(moments, members);  // [planes, m, m]: E[z_i conj(z_j)]
  const auto m = static_cast<int64_t>(members.size());
  // turn_j z_j agrees with z_0.
  Tensor turn = phase_of(block.select(1, 0)).t().contiguous();  // [m, planes]
  turn.select(0, 0).fill_(1.0);
  double before = -1;
  for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
    for (int64_t i = 0; i < m; ++i) {
      Tensor others = block.select(2, i).t().mul(turn);  // [m, planes]: turn_j E[z_j conj(z_i)]
      const Tensor pull = others.sum(0).sub(others.select(0, i));
      turn.select(0, i).copy_(at::where(pull.abs().gt(1e-300), phase_of(pull), turn.select(0, i)));
    }
    const Tensor row = turn.t().unsqueeze(1);
    const double agreement =
        at::real(at::matmul(at::matmul(row, block), row.conj().transpose(1, 2)))
            .sum()
            .item<double>();
    if (agreement - before <= kEnoughGain * std::abs(agreement)) break;
    before = agreement;
  }
  turn = turn.mul(turn.select(0, 0).conj().unsqueeze(0));
  KeyMerge merge{turn.div(static_cast<double>(m)), turn.conj().resolve_conj(),
                 align_vectors(moments.key_rest, members, false)};
  if (restore_norm) {  // one factor for the whole key
    const double factor = std::sqrt(members_over_merged(moments, members, merge));
    if (std::isfinite(factor)) {
      merge.encode.mul_(factor);
      merge.rest.encode.mul_(factor);
    }
  }
  return merge;
}

double members_over_merged(const HeadMoments& moments, const Members& members,
                           const KeyMerge& merge) {
  const auto [own, merged] = energies(block_of(moments, members), merge.encode);
  const double members_energy =
      own.mean(0).sum().item<double>() + mean_rest_energy(moments, members);
  const double group_energy =
      merged.sum().item<double>() +
      merged_moment(moments.key_rest, members, merge.rest).trace().item<double>();
  return members_energy / group_energy;
}

KeyMerge pca_keys(const HeadMoments& moments, const Members& members, int64_t readers) {
  const Tensor block = block_of(moments, members);
  // Keys that nothing reads count alike: they may be read after some training.
  const Tensor weights = query_weights(moments, members, readers, 1.0);  // [m, planes]
  const auto [values, vectors] = at::linalg_eigh(weighted_block(block, weights));
  const Tensor top = vectors.select(2, vectors.size(2) - 1).t();  // [m, planes], unit norm
  Tensor encode = top.conj().mul(weights).resolve_conj();
  Tensor decode = top.div(weights);
  // The gauge: the first member's factor real and positive, the merged key as large as the members.
  const auto [own, merged] = energies(block, encode);
  const Tensor size = own.mean(0).div(merged.clamp_min(1e-300)).sqrt();  // [planes]
  const Tensor usable = size.isfinite().logical_and(size.gt(0)).logical_and(merged.gt(1e-300));
  const Tensor gauge =
      phase_of(decode.select(0, 0)).mul(at::where(usable, size, at::ones({}, size.options())));
  encode = encode.mul(gauge.unsqueeze(0));
  decode = decode.div(gauge.unsqueeze(0));
  return {encode, decode, pca_vectors(moments.key_rest, members)};
}

std::pair<Tensor, Tensor> logit_energies(const HeadMoments& moments, const Members& members,
                                         const KeyMerge& merge, int64_t readers) {
  const auto [own, merged] = energies(block_of(moments, members), merge.encode);
  const Tensor again = merge.decode.abs().square().mul(merged);  // [m, planes]
  const Tensor rest = merged_moment(moments.key_rest, members, merge.rest);
  const Tensor rest_again =
      at::matmul(at::matmul(merge.rest.decode, rest), merge.rest.decode.transpose(1, 2));
  const Tensor index = index_of(members);
  const auto of_members = [&](const Tensor& x) {  // [m, readers, ...]
    return x.unflatten(0, {-1, readers}).index_select(0, index);
  };
  const Tensor in_planes = of_members(moments.query_energy);
  const Tensor elsewhere = of_members(moments.query_rest).mul(kRestWeight);
  const auto seen = [&](const Tensor& planes, const Tensor& other) {  // [m, planes], [m, r, r]
    return in_planes.mul(planes.unsqueeze(1))
        .sum(2)
        .add(elsewhere.mul(other.unsqueeze(1)).sum({2, 3}));
  };
  const Tensor rest_own = moments.key_rest.cross
                              .diagonal(0, 0, 1)  // [r, r, kv]
                              .permute({2, 0, 1})
                              .index_select(0, index);
  return {seen(own, rest_own), seen(again, rest_again)};
}

Residual key_residual(const HeadMoments& moments, const Members& members, const KeyMerge& merge) {
  const Tensor block = block_of(moments, members);
  const auto [own, merged] = energies(block, merge.encode);
  // E[k_g conj(z_i)] = sum_j encode_j E[z_j conj(z_i)]
  const Tensor cross =
      at::matmul(merge.encode.t().unsqueeze(1), block).squeeze(1).t();  // [m, planes]
  const Tensor lost = own.sub(at::real(merge.decode.mul(cross)).mul(2.0))
                          .add(merge.decode.abs().square().mul(merged.unsqueeze(0)));
  Residual sum{std::max(0.0, lost.sum().item<double>()), own.sum().item<double>()};
  sum += vector_residual(moments.key_rest, members, merge.rest);
  return sum;
}

double min_query_energy(double mean_energy) {
  return mean_energy > 0 ? mean_energy * kMinEnergyShare : kNothing;
}

}  // namespace regroup
