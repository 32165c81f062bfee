#pragma once

#include <complex>
#include <cstdint>
#include <optional>
#include <vector>

#include "group_merge.h"
#include "normed_keys.h"

namespace regroup {

/// What groups lose when pca_keys (under QK-norm NormedKeys) and pca_vectors merge them, in their own metrics
/// (discarded eigenvalues).
/// Moments are taken over once as plain numbers: many groups are priced at once on all cores, and there
/// tensor operations are not allowed (ATen/Parallel.h).
class GroupPrices {
 public:
  /// @param readers  query heads a KV head
  GroupPrices(const HeadMoments& moments, int64_t readers);

  double keys(const Members& members) const;  ///< in a plane's units (kRestWeight)
  double values(const Members& members) const { return lost(value_, members); }

 private:
  /// Vectors in their metrics, [n_heads, n_heads, n, n].
  struct Vectors {
    explicit Vectors(const VectorMoments& moments);
    int64_t n_heads;
    int64_t n;
    std::vector<double> cross;
  };
  static double lost(const Vectors& vectors, const Members& members);

  int64_t n_planes_;
  int64_t n_heads_;
  std::vector<std::complex<double>> key_;  // [planes, n_heads, n_heads]: E[k_i conj(k_j)]
  std::vector<double> query_energy_;       // [n_heads, planes], of the queries that read a KV head
  Vectors rest_;
  Vectors value_;
  std::optional<NormedKeys> normed_;
};

}  // namespace regroup
