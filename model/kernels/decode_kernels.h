#pragma once

#include <cstdint>

namespace regroup::kernels {

// Kernels of one new token, whose time goes into reading weights and the KV cache. T is float or bfloat16
// (as uint16); sums are in float32.

/// y[r, o] = weight[o] x[r] + bias[o] for o in [begin, end) and a few rows r, so that weights are read once.
template <typename T>
struct MatVec {
  const T* weight;  ///< [out, in]
  const T* bias;    ///< [out] or nullptr
  const float* x;   ///< [rows, in]
  T* y;             ///< [rows, out]
  int64_t rows;
  int64_t in;
  int64_t out;
};
void matvec(const MatVec<float>& m, int64_t begin, int64_t end);
void matvec(const MatVec<uint16_t>& m, int64_t begin, int64_t end);

/// The query heads that read one KV head against some of its keys: softmax without its denominator.
template <typename T>
struct KeySpan {
  const float* q;  ///< [group_size, head_dim], times the scale of the scores
  const T* k;      ///< [count, head_dim]
  const T* v;      ///< [count, head_dim]
  int64_t count;   ///< at most kMaxKeys
  int64_t group_size;
  int64_t head_dim;
};
constexpr int64_t kMaxKeys = 128;

/// What one span gives a query head: out [head_dim] = sum of exp(score - max) v, sum of those weights, max.
struct SpanSums {
  float* out;  ///< [group_size, head_dim]
  float* sum;  ///< [group_size]
  float* max;  ///< [group_size]
};
void attend_span(const KeySpan<float>& span, const SpanSums& sums);
void attend_span(const KeySpan<uint16_t>& span, const SpanSums& sums);

}  // namespace regroup::kernels
