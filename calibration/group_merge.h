#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "head_moments.h"

namespace regroup {

/// Heads that become one, by their number in the parent.
using Members = std::vector<int64_t>;

/// x_g = sum_i encode_i x_i, and x_i is approximated by decode_i x_g: any matrices, for what no position
/// turns.
struct VectorMerge {
  at::Tensor encode;  ///< [members, n, n]
  at::Tensor decode;  ///< [members, n, n]
};

/// The same for keys: one complex number a rotary plane, so that both commute with RoPE, and any matrix
/// on the rest of the channels.
struct KeyMerge {
  at::Tensor encode;  ///< [members, planes] complex
  at::Tensor decode;  ///< [members, planes] complex
  VectorMerge rest = {};
};

/// What a merge loses, predicted from moments alone.
struct Residual {
  double lost = 0;   ///< sum over members of E|x_i - D_i x_g|^2
  double total = 0;  ///< sum over members of E|x_i|^2
  Residual& operator+=(const Residual& other);
  double share() const { return total > 0 ? lost / total : 0; }
};
Residual key_residual(const HeadMoments& moments, const Members& members, const KeyMerge& merge);
/// Energy of the members' keys, on the mean, over that of the merged key.
double members_over_merged(const HeadMoments& moments, const Members& members,
                           const KeyMerge& merge);
Residual vector_residual(const VectorMoments& moments, const Members& members,
                         const VectorMerge& merge);

/// Energy of each member's keys as a query head of it sees them, before and after a merge, in a plane's
/// units (kRestWeight).
/// @return  {[members, readers], [members, readers]}
std::pair<at::Tensor, at::Tensor> logit_energies(const HeadMoments& moments, const Members& members,
                                                 const KeyMerge& merge, int64_t readers);

/// E[x_g x_g^T], [n, n].
at::Tensor merged_moment(const VectorMoments& moments, const Members& members,
                         const VectorMerge& merge);

/// Generalised Procrustes: each head is turned so that the group agrees, then the mean is taken; the
/// first member stays as it is. Keys by one phase a plane and an orthogonal matrix on the rest, vectors
/// by an orthogonal matrix.
/// @param restore_norm  scale the mean to the members' mean energy (docs/methods.md)
KeyMerge align_keys(const HeadMoments& moments, const Members& members, bool restore_norm);
VectorMerge align_vectors(const VectorMoments& moments, const Members& members, bool restore_norm);

/// The best rank-one approximation of the group's keys in every plane, members weighted by the energy
/// of the queries that read them: a Hermitian eigenproblem a plane. The rest by pca_vectors.
KeyMerge pca_keys(const HeadMoments& moments, const Members& members, int64_t readers);

/// The best rank-n approximation of the group's vectors in their metric (Eckart and Young), to be
/// absorbed into Wo for values and into Wq for keys.
VectorMerge pca_vectors(const VectorMoments& moments, const Members& members);

/// What pca_keys and pca_vectors see: queries that are (nearly) silent in a plane count as this much, given
/// the members' mean energy there, and E[x_i x_j^T] between the roots of the metrics, [heads, heads, n, n].
double min_query_energy(double mean_energy);
at::Tensor in_metric(const VectorMoments& moments);

/// How well two heads can be aligned: the nuclear norm of their cross moment over the root of their
/// energies, for values plus for keys; 2 for equal heads. @return [n_kv_heads, n_kv_heads]
at::Tensor aligned_similarity(const HeadMoments& moments);
/// The same without turning anything: plain correlation.
at::Tensor plain_similarity(const HeadMoments& moments);

}  // namespace regroup
