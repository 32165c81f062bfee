#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "head_moments.h"

namespace regroup {

/// Heads that become one, by their number in the parent.
using Members = std::vector<int64_t>;

/// k_g = sum_i encode_i k_i, and k_i is approximated by decode_i k_g; one complex number a rotary
/// plane, so that both commute with RoPE.
struct KeyMerge {
  at::Tensor encode;  ///< [members, planes] complex
  at::Tensor decode;  ///< [members, planes] complex
};

/// The same for values, which no position turns: any matrix.
struct ValueMerge {
  at::Tensor encode;  ///< [members, head_dim, head_dim]
  at::Tensor decode;  ///< [members, head_dim, head_dim]
};

/// What a merge loses, predicted from moments alone.
struct Residual {
  double lost = 0;   ///< sum over members of E|x_i - D_i x_g|^2
  double total = 0;  ///< sum over members of E|x_i|^2
  Residual& operator+=(const Residual& other);
  double share() const { return total > 0 ? lost / total : 0; }
};
Residual key_residual(const HeadMoments& moments, const Members& members, const KeyMerge& merge);
Residual value_residual(const HeadMoments& moments, const Members& members,
                        const ValueMerge& merge);

/// E|k_g|^2 a plane, [planes].
at::Tensor merged_key_energy(const HeadMoments& moments, const Members& members,
                             const KeyMerge& merge);

/// E[v_g v_g^T], [head_dim, head_dim].
at::Tensor merged_value_moment(const HeadMoments& moments, const Members& members,
                               const ValueMerge& merge);

/// Generalised Procrustes: each head is turned so that the group agrees, then the mean is taken.
/// Keys by one phase a plane, values by an orthogonal matrix; the first member stays as it is.
/// @param restore_norm  scale the mean to the members' mean energy (docs/methods.md)
KeyMerge align_keys(const HeadMoments& moments, const Members& members, bool restore_norm);
ValueMerge align_values(const HeadMoments& moments, const Members& members, bool restore_norm);

/// The best rank-one approximation of the group's keys in every plane, members weighted by the energy
/// of the queries that read them: a Hermitian eigenproblem a plane.
KeyMerge pca_keys(const HeadMoments& moments, const Members& members, int64_t readers);

/// The best rank-head_dim approximation of the group's values in the metric of the output projection
/// (Eckart and Young), absorbed into Wo.
ValueMerge pca_values(const HeadMoments& moments, const Members& members);

/// What pca_keys and pca_values lose in their own metrics (discarded eigenvalues).
double key_pca_cost(const HeadMoments& moments, const Members& members, int64_t readers);
double value_pca_cost(const HeadMoments& moments, const Members& members);

/// How well two heads can be aligned: the nuclear norm of their cross moment over the root of their
/// energies, for values plus for keys; 2 for equal heads. @return [n_kv_heads, n_kv_heads]
at::Tensor aligned_similarity(const HeadMoments& moments);
/// The same without turning anything: plain correlation.
at::Tensor plain_similarity(const HeadMoments& moments);

}  // namespace regroup
