#include "layer_method.h"

#include <ATen/ops/full_like.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <cmath>

#include "attention_fold.h"
#include "head_order.h"
#include "key_matrix.h"
#include "normed_keys.h"

namespace regroup {
namespace {

using at::Tensor;

HeadMatrix dense(const Tensor& matrix) {
  const Tensor m = matrix.to(at::kDouble).contiguous();
  const double* p = m.data_ptr<double>();
  return {.scale = 1.0, .dense = std::vector<double>(p, p + m.numel())};
}

Members members_of(const std::vector<int64_t>& order, int64_t group, int64_t size) {
  return {order.begin() + group * size, order.begin() + (group + 1) * size};
}

/// Index within the group of the head most like the others.
int64_t medoid_of(const Tensor& similarity, const Members& members) {
  const Tensor index = at::tensor(members, at::kLong);
  return similarity.index_select(0, index).index_select(1, index).sum(1).argmax().item<int64_t>();
}

/// Keys that QK-norm makes equally long: one factor a head, times the members' mean size, so that weights keep theirs.
void merge_normed_keys(const HeadMoments& moments, const Members& members, int64_t readers,
                       size_t first, LayerTransform& out) {
  const Tensor size = moments.key_size.index_select(0, at::tensor(members, at::kLong));
  const std::vector<double> factors = NormedKeys(moments, readers).merge(members).factors;
  const double mean = size.mean().item<double>();
  for (size_t i = 0; i < members.size(); ++i) {
    out.encode_key[first + i].scale =
        factors[i] * mean / size[static_cast<int64_t>(i)].item<double>();
  }
}

/// Fills one group, whose first new position is `first`.
void merge_group(Method method, const HeadMoments& moments, const Members& members,
                 const ModelConfig& parent, size_t first, LayerTransform& out) {
  const int64_t readers = parent.group_size();
  const auto scalars = [&](const Tensor& key, const Tensor& value) {  // [m] each, D = I
    for (size_t i = 0; i < members.size(); ++i) {
      out.encode_key[first + i].scale = key[static_cast<int64_t>(i)].item<double>();
      out.encode_value[first + i].scale = value[static_cast<int64_t>(i)].item<double>();
    }
  };
  const auto m = static_cast<int64_t>(members.size());
  const auto only = [&](int64_t survivor) {
    const Tensor weights = at::zeros({m}, at::kDouble);
    weights[survivor] = 1.0;
    scalars(weights, weights);
  };
  const Tensor index = at::tensor(members, at::kLong);
  KeyMerge key;
  VectorMerge value;
  switch (method) {
    case Method::kMedoid:
      return only(medoid_of(plain_similarity(moments), members));
    case Method::kPrune:
      return only(0);
    case Method::kWeighted: {
      const auto shares = [&](const Tensor& use) {
        const Tensor own = use.index_select(0, index);
        const double all = own.sum().item<double>();
        // Heads that nothing reads count alike.
        return all > 0 ? own.div(all) : at::full_like(own, 1.0 / static_cast<double>(m));
      };
      return scalars(shares(readers_energy(moments, readers)),
                     shares(moments.value.metric.diagonal(0, 1, 2).sum(1)));
    }
    case Method::kAlign:
    case Method::kAlignNorm:
      key = align_keys(moments, members, method == Method::kAlignNorm);
      value = align_vectors(moments.value, members, method == Method::kAlignNorm);
      break;
    default:
      value = pca_vectors(moments.value, members);
      if (moments.key_size.defined()) {
        merge_normed_keys(moments, members, readers, first, out);
      } else {
        key = pca_keys(moments, members, readers);
      }
  }
  const HeadChannels channels = head_channels(parent);
  for (int64_t i = 0; i < m; ++i) {
    const size_t at = first + static_cast<size_t>(i);
    out.encode_value[at] = dense(value.encode[i]);
    out.decode_value[at] = dense(value.decode[i]);
    if (!key.encode.defined()) continue;
    out.encode_key[at] = dense(key_matrix(channels, key.encode[i], key.rest.encode[i]));
    out.decode_key[at] = dense(key_matrix(channels, key.decode[i], key.rest.decode[i]));
  }
}

/// Encoders (divided) and decoders of m members from position `first` on, the part of them that `read`
/// gives.
template <typename Read>
std::pair<Tensor, Tensor> collect(const std::vector<HeadMatrix>& encode,
                                  const std::vector<HeadMatrix>& decode, double divisor,
                                  size_t first, int64_t m, const Read& read) {
  std::vector<Tensor> in;
  std::vector<Tensor> out;
  for (size_t i = first; i < first + static_cast<size_t>(m); ++i) {
    in.push_back(read(encode[i]).div(divisor));
    out.push_back(read(decode[i]));
  }
  return {at::stack(in), at::stack(out)};
}

KeyMerge key_merge(const LayerTransform& t, size_t first, int64_t m, const ModelConfig& parent) {
  const HeadChannels channels = head_channels(parent);
  const auto parts = [&](const auto& part) {
    return collect(t.encode_key, t.decode_key, t.divisor, first, m, [&](const HeadMatrix& matrix) {
      return part(channels, matrix_of(matrix, parent.head_dim));
    });
  };
  const auto [encode, decode] = parts(plane_part);
  const auto [rest_encode, rest_decode] = parts(rest_part);
  return {encode, decode, {rest_encode, rest_decode}};
}

/// The merge as it acts on the keys of `moments`: QK-norm divides each member by its size before, and makes the
/// merged key as long as any other.
KeyMerge seen_merge(const LayerTransform& t, const HeadMoments& moments, size_t first,
                    const Members& members, const ModelConfig& parent) {
  const auto m = static_cast<int64_t>(members.size());
  KeyMerge merge = key_merge(t, first, m, parent);
  if (!moments.key_size.defined()) return merge;
  const Tensor size = moments.key_size.index_select(0, at::tensor(members, at::kLong));
  merge.encode = merge.encode.mul(size.unsqueeze(1));
  merge.rest.encode = merge.rest.encode.mul(size.view({m, 1, 1}));
  const double factor = std::sqrt(members_over_merged(moments, members, merge));
  if (std::isfinite(factor)) {
    merge.encode = merge.encode.mul(factor);
    merge.rest.encode = merge.rest.encode.mul(factor);
  }
  return merge;
}

VectorMerge value_merge(const LayerTransform& t, size_t first, int64_t m, int64_t d) {
  const auto [encode, decode] =
      collect(t.encode_value, t.decode_value, t.divisor, first, m,
              [d](const HeadMatrix& matrix) { return matrix_of(matrix, d); });
  return {encode, decode};
}

/// sqrt(before / after), where that is a usable factor.
void set_gain(double& gain, double before, double after) {
  const double value = std::sqrt(before / after);
  if (std::isfinite(value) && value > 0) gain = value;
}

/// body(position of the first member, members) for every group.
template <typename Body>
void for_groups(const LayerTransform& t, const ModelConfig& parent, int64_t n_kv_heads,
                const Body& body) {
  const int64_t size = parent.n_kv_heads / n_kv_heads;
  for (int64_t g = 0; g < n_kv_heads; ++g) {
    body(static_cast<size_t>(g * size), members_of(t.permutation, g, size));
  }
}

/// Merging flattens logits: gamma^2 = sum_l E|q_l|^2 E|k_l|^2 / sum_l E|q_l|^2 E|k'_l|^2 over planes, with
/// queries and keys taken as independent, and q^T k outside of them (logit_energies).
void restore_logits(LayerTransform& t, const HeadMoments& moments, const ModelConfig& parent,
                    int64_t n_kv_heads) {
  const auto readers = static_cast<size_t>(parent.group_size());
  for_groups(t, parent, n_kv_heads, [&](size_t first, const Members& members) {
    const KeyMerge merge = key_merge(t, first, static_cast<int64_t>(members.size()), parent);
    const auto [before, after] = logit_energies(moments, members, merge, parent.group_size());
    for (size_t i = 0; i < members.size() * readers; ++i) {
      const auto at = static_cast<int64_t>(i);
      set_gain(t.logit_gain[first * readers + i], before.flatten()[at].item<double>(),
               after.flatten()[at].item<double>());
    }
  });
}

/// eta^2 = E|Wo v|^2 / E|Wo v'|^2 of a KV head's readers together, with the same attention over values
/// before and after.
void restore_outputs(LayerTransform& t, const HeadMoments& moments, const ModelConfig& parent,
                     int64_t n_kv_heads) {
  const auto readers = static_cast<size_t>(parent.group_size());
  const Tensor own = value_energy(moments);  // [kv]
  for_groups(t, parent, n_kv_heads, [&](size_t first, const Members& members) {
    const VectorMerge merge =
        value_merge(t, first, static_cast<int64_t>(members.size()), parent.head_dim);
    const Tensor merged = merged_moment(moments.value, members, merge);  // [d, d]
    for (size_t i = 0; i < members.size(); ++i) {
      const Tensor decode = merge.decode[static_cast<int64_t>(i)];
      const Tensor again = at::matmul(at::matmul(decode, merged), decode.t());
      const double after = moments.value.metric[members[i]].mul(again).sum().item<double>();
      for (size_t r = 0; r < readers; ++r) {
        set_gain(t.output_gain[(first + i) * readers + r], own[members[i]].item<double>(), after);
      }
    }
  });
}

/// Dropped heads fall silent: their columns of Wo are zero, and training may wake them.
void silence_dropped(LayerTransform& t, const ModelConfig& parent, int64_t size) {
  for (int64_t h = 0; h < parent.n_heads; ++h) {
    if (h / parent.group_size() % size != 0) t.output_gain[static_cast<size_t>(h)] = 0.0;
  }
}

}  // namespace

std::pair<Residual, Residual> predict_residuals(const LayerTransform& t, const HeadMoments& moments,
                                                const ModelConfig& parent, int64_t n_kv_heads) {
  const int64_t size = parent.n_kv_heads / n_kv_heads;
  Residual key;
  Residual value;
  for (int64_t g = 0; g < n_kv_heads; ++g) {
    const auto first = static_cast<size_t>(g * size);
    const Members members = members_of(t.permutation, g, size);
    key += key_residual(moments, members, seen_merge(t, moments, first, members, parent));
    value += vector_residual(moments.value, members, value_merge(t, first, size, parent.head_dim));
  }
  return {key, value};
}

LayerDecision decide_layer(const ConvertOptions& request, int64_t layer,
                           const AttentionWeights& weights, const LayerStatistics& statistics,
                           const ModelConfig& parent) {
  const HeadMoments moments = head_moments(weights, statistics, parent);
  const int64_t size = parent.n_kv_heads / request.n_kv_heads;
  LayerDecision decision;
  decision.transform = make_transforms(request.method, parent, request.n_kv_heads).front();
  LayerTransform& t = decision.transform;
  if (may_regroup(request.method) || request.method == Method::kPrune) {
    t.permutation = choose_order(request, layer, statistics, moments, parent);
  }
  if (size > 1 && reads_weights(request.method)) {
    for (int64_t g = 0; g < request.n_kv_heads; ++g) {
      merge_group(request.method, moments, members_of(t.permutation, g, size), parent,
                  static_cast<size_t>(g * size), t);
    }
    if (request.method == Method::kPrune) silence_dropped(t, parent, size);
    // QK-norm makes all keys equally long: there is nothing to restore.
    if (request.method == Method::kPca && request.logit_gain != Gain::kOff &&
        !moments.key_size.defined()) {
      restore_logits(t, moments, parent, request.n_kv_heads);
    }
    if (request.method == Method::kPca && request.output_gain != Gain::kOff) {
      restore_outputs(t, moments, parent, request.n_kv_heads);
    }
  }
  if (!t.redraw) {
    std::tie(decision.key, decision.value) =
        predict_residuals(t, moments, parent, request.n_kv_heads);
  }
  return decision;
}

LayerReport report_of(int64_t layer, const LayerDecision& decision) {
  return {.layer = layer,
          .order = decision.transform.permutation,
          .key_residual = decision.key.share(),
          .value_residual = decision.value.share(),
          .closed = {},
          .refitted = {},
          .fit_flops = 0,
          .trained = {},
          .steps = 0};
}

}  // namespace regroup
