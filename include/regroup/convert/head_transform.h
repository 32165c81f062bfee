#pragma once

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// A [head_dim, head_dim] matrix that acts on one head, in the cheapest exact form:
/// `scale` times the identity, or dense (row-major) when `dense` is not empty.
struct HeadMatrix {
  double scale = 1.0;
  std::vector<double> dense = {};

  bool is_identity() const { return dense.empty() && scale == 1.0; }
  bool is_zero() const { return dense.empty() && scale == 0.0; }
};

/// What a method decides about one layer; one fold routine serves every method.
///
/// With P the parent's KV heads in their new order, group g holding m = P / G of them, i a member:
///   k_g = (sum_i E^K_i k_i) / divisor      k_i is approximated by D^K_i k_g   (v alike)
///   Wk'_g = (sum_i E^K_i Wk_i) / divisor   Wq'_h = gamma_h (D^K_i)^T Wq_h
///   Wv'_g = (sum_i E^V_i Wv_i) / divisor   Wo'_h = eta_h Wo_h D^V_i
/// for every query head h that reads parent KV head i; biases of q, k, v transform alike. Where D is
/// the identity, the gains are 1 and nothing is permuted, Q and O keep their bytes.
/// Source: regroup's own formulation; the special cases are in docs/methods.md.
struct LayerTransform {
  /// permutation[new] = old, over the parent's KV heads; query heads move with the KV head they read.
  std::vector<int64_t> permutation;
  // [P], by new position.
  std::vector<HeadMatrix> encode_key;
  std::vector<HeadMatrix> encode_value;
  std::vector<HeadMatrix> decode_key;
  std::vector<HeadMatrix> decode_value;
  /// The sum over members is divided by this; dividing once keeps the mean of equal weights exact.
  double divisor = 1.0;
  // [n_heads], by new position.
  std::vector<double> logit_gain;
  std::vector<double> output_gain;
  /// The paper's control: K and V are drawn anew from N(0, std(parent)^2), E is not used.
  bool redraw = false;

  bool keeps_order() const;  ///< whether the permutation is the identity
  bool stretches_logits() const;
  bool changes_queries() const;
  bool changes_outputs() const;
  /// Whether K or V change even with one member a group.
  bool changes_keys_or_values() const;
};

/// Keeps every head where it is: E = D = I, gains 1, one member a group unless `n_kv_heads` is
/// smaller than the parent's.
LayerTransform identity_transform(const ModelConfig& config);

}  // namespace regroup
