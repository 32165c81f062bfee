#pragma once

#include <cstdint>
#include <vector>

#include "group_merge.h"

namespace regroup {

/// Keys that QK-norm makes equally long. Nothing but one factor a head is exact there, and no decoder: the merged key
/// k_g = sum_i e_i k_i stands for each k_i as it is, at the length that the norm gives it. Plain numbers, for many
/// groups are looked at on all cores at once (ATen/Parallel.h).
class NormedKeys {
 public:
  /// @param moments  with key_size
  /// @param readers  query heads a KV head
  NormedKeys(const HeadMoments& moments, int64_t readers);

  struct Merge {
    std::vector<double>
        factors;  ///< [members], none below 0, for keys over their size (HeadMoments::key_size)
    double lost =
        0;  ///< sum_i E|q_i|^2 E|k_i - k_g|^2 over planes and channels, in a plane's units
  };
  /// The factors of least loss. With R = E[k_i k_j] and b_j = sum_i E|q_i|^2 E[k_i k_j], where the readers' energy is
  /// spread alike over planes, e = R^-1 b; then as long as the members on the mean.
  Merge merge(const Members& members) const;

 private:
  int64_t n_heads_;
  int64_t n_parts_;             // the planes, and the rest of the channels as one more
  std::vector<double> moment_;  // [parts, n_heads, n_heads]: E[k_i k_j]
  std::vector<double> energy_;  // [parts, n_heads]: of the queries that read a KV head
};

}  // namespace regroup
