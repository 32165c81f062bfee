#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

namespace regroup::kernels {

/// Neighbouring rows of K and V.
struct RowSpan {
  int64_t first;
  int64_t count;
};

/// Causal attention of one sequence: what its heads share. Rows of q, k, v and their gradients are
/// contiguous; strides are in elements.
struct AttentionShape {
  int64_t seq;  ///< queries, each of which sees itself and what is before it
  int64_t head_dim;
  int64_t group_size;  ///< query heads that read one KV head
  int64_t window;      ///< a query sees itself and window - 1 tokens before; 0: all before
  float scale;
  /// Keys before the first query's, forward alone: where they lie, counted from the row of the first query's key.
  std::span<const RowSpan> past = {};

  int64_t past_keys() const {
    int64_t count = 0;
    for (const RowSpan& span : past) count += span.count;
    return count;
  }
};

/// A head's rows: row r of head h is at data + h * head_stride + r * row_stride.
template <typename T>
struct HeadRows {
  T* data;
  int64_t head_stride;
  int64_t row_stride;
};

// For one KV head and the group_size query heads that read it; T is float or bfloat16 (as uint16).
// lse [group_size, seq] is the logarithm of each row's softmax denominator (arXiv:2205.14135,
// section 3.1): with it the backward pass computes the probabilities again instead of keeping them.
#define REGROUP_DECLARE_ATTENTION(T)                                                             \
  void attention_forward(const AttentionShape& shape, HeadRows<const T> q, HeadRows<const T> k,  \
                         HeadRows<const T> v, HeadRows<T> out, float* lse, float* scratch);      \
  void attention_backward(const AttentionShape& shape, HeadRows<const T> q, HeadRows<const T> k, \
                          HeadRows<const T> v, HeadRows<const T> out, HeadRows<const T> dout,    \
                          const float* lse, HeadRows<T> dq, HeadRows<T> dk, HeadRows<T> dv,      \
                          float* scratch);

REGROUP_DECLARE_ATTENTION(float)
REGROUP_DECLARE_ATTENTION(uint16_t)
#undef REGROUP_DECLARE_ATTENTION

constexpr int64_t kMaxRows = 64;
constexpr int64_t padded(int64_t n) { return (n + 15) / 16 * 16; }

/// Query rows computed together: their scores against all keys stay in the second-level cache.
constexpr int64_t rows_at_once(int64_t keys) {
  return std::clamp<int64_t>((int64_t{1} << 16) / padded(keys) / 8 * 8, 8, kMaxRows);
}

/// Floats of scratch that a call of either needs.
int64_t attention_scratch(const AttentionShape& shape);

}  // namespace regroup::kernels
