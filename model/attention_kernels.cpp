#include "attention_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernel_math.h"

namespace regroup::kernels {
namespace {

using Vector = float __attribute__((vector_size(64)));
constexpr int64_t kWidth = 16;  // floats of a Vector

int64_t padded(int64_t n) { return (n + kWidth - 1) / kWidth * kWidth; }

/// Query rows computed together: their scores against all keys stay in the second-level cache.
int64_t rows_at_once(int64_t seq) {
  return std::clamp<int64_t>((int64_t{1} << 16) / padded(seq) / 8 * 8, 8, 64);
}

/// One matrix in float32; element (row, col) is at data + row * row_stride + col * col_stride.
struct Strided {
  const float* data;
  int64_t row_stride;
  int64_t col_stride;
};

/// c [R, N * 16] (+)= a [R, depth] b [depth, N * 16]: accumulators in registers.
template <int R, int N>
REGROUP_INLINE void multiply_tile(const Strided& a, const float* b, int64_t ldb, float* c,
                                  int64_t ldc, int64_t depth, bool add) {
  Vector sum[R][N];
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) sum[r][n] = Vector{};
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vector row[N];
    for (int n = 0; n < N; ++n) std::memcpy(&row[n], b + k * ldb + n * kWidth, sizeof(Vector));
    for (int r = 0; r < R; ++r) {
      const float x = a.data[r * a.row_stride + k * a.col_stride];
      for (int n = 0; n < N; ++n) sum[r][n] += row[n] * x;
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) {
      float* out = c + r * ldc + n * kWidth;
      Vector total = sum[r][n];
      if (add) {
        Vector before;
        std::memcpy(&before, out, sizeof(Vector));
        total += before;
      }
      std::memcpy(out, &total, sizeof(Vector));
    }
  }
}

/// c [rows, cols] (+)= a [rows, depth] b [depth, cols]; cols is a multiple of 16.
REGROUP_INLINE void multiply(const Strided& a, const float* b, int64_t ldb, float* c, int64_t ldc,
                             int64_t rows, int64_t cols, int64_t depth, bool add) {
  int64_t col = 0;
  for (; col < cols; col += 2 * kWidth) {
    const bool pair = col + 2 * kWidth <= cols;
    int64_t row = 0;
    for (; row + 8 <= rows; row += 8) {
      const Strided part{a.data + row * a.row_stride, a.row_stride, a.col_stride};
      float* out = c + row * ldc + col;
      if (pair) {
        multiply_tile<8, 2>(part, b + col, ldb, out, ldc, depth, add);
      } else {
        multiply_tile<8, 1>(part, b + col, ldb, out, ldc, depth, add);
      }
    }
    for (; row < rows; ++row) {
      const Strided part{a.data + row * a.row_stride, a.row_stride, a.col_stride};
      float* out = c + row * ldc + col;
      if (pair) {
        multiply_tile<1, 2>(part, b + col, ldb, out, ldc, depth, add);
      } else {
        multiply_tile<1, 1>(part, b + col, ldb, out, ldc, depth, add);
      }
    }
  }
}

/// Rows of one head as float32 times `factor`, [count, head_dim].
template <typename T>
REGROUP_INLINE void unpack(const HeadRows<const T>& rows, int64_t head, int64_t first,
                           int64_t count, int64_t dim, float factor, float* out) {
  for (int64_t r = 0; r < count; ++r) {
    const T* in = rows.data + head * rows.head_stride + (first + r) * rows.row_stride;
    for (int64_t i = 0; i < dim; ++i) out[r * dim + i] = load(in + i) * factor;
  }
}

template <typename T>
REGROUP_INLINE void pack(const float* in, const HeadRows<T>& rows, int64_t head, int64_t first,
                         int64_t count, int64_t dim) {
  for (int64_t r = 0; r < count; ++r) {
    T* out = rows.data + head * rows.head_stride + (first + r) * rows.row_stride;
    for (int64_t i = 0; i < dim; ++i) store(out + i, in[r * dim + i]);
  }
}

/// The KV head transposed, [head_dim, padded(seq)]; the padding is zero.
template <typename T>
REGROUP_INLINE void unpack_transposed(const HeadRows<const T>& rows, int64_t seq, int64_t dim,
                                      float* out) {
  const int64_t width = padded(seq);
  for (int64_t i = 0; i < dim; ++i) {
    for (int64_t r = seq; r < width; ++r) out[i * width + r] = 0.0f;
  }
  for (int64_t r = 0; r < seq; ++r) {
    const T* in = rows.data + r * rows.row_stride;
    for (int64_t i = 0; i < dim; ++i) out[i * width + r] = load(in + i);
  }
}

/// Keys that query `row` sees, [first, row].
REGROUP_INLINE int64_t first_key(int64_t row, int64_t window) {
  return window > 0 && row >= window ? row - window + 1 : 0;
}

/// A block of query rows and the span of keys any of them sees, cut at multiples of 16.
struct Block {
  int64_t first_row;
  int64_t rows;
  int64_t first_key;
  int64_t keys;
};

REGROUP_INLINE Block block_at(int64_t first_row, int64_t rows, int64_t window) {
  const int64_t begin = first_key(first_row, window) / kWidth * kWidth;
  return {first_row, rows, begin, (first_row + rows - begin + kWidth - 1) / kWidth * kWidth};
}

/// Scores of one row become unnormalised probabilities, zero outside [low, high).
/// @return the logarithm of their denominator; `sum` receives the denominator itself
REGROUP_INLINE float softmax_row(float* z, int64_t low, int64_t high, int64_t width, float* sum) {
  for (int64_t i = 0; i < low; ++i) z[i] = -1e30f;
  for (int64_t i = high; i < width; ++i) z[i] = -1e30f;
  float highest[kLanes];
  for (int64_t j = 0; j < kLanes; ++j) highest[j] = z[j];
  for (int64_t i = kLanes; i < width; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) highest[j] = z[i + j] > highest[j] ? z[i + j] : highest[j];
  }
  float most = highest[0];
  for (const float lane : highest) most = lane > most ? lane : most;
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < width; i += kLanes) {
    for (int64_t j = 0; j < kLanes; ++j) {
      const float e = exp_fast(z[i + j] - most);
      z[i + j] = e;
      lanes[j] += e;
    }
  }
  for (int64_t i = 0; i < low; ++i) z[i] = 0.0f;
  for (int64_t i = high; i < width; ++i) z[i] = 0.0f;
  *sum = sum_lanes(lanes);
  return most + std::log(*sum);
}

template <typename T>
REGROUP_INLINE void forward(const AttentionShape& s, const HeadRows<const T>& q,
                            const HeadRows<const T>& k, const HeadRows<const T>& v,
                            const HeadRows<T>& out, float* lse, float* scratch) {
  const int64_t width = padded(s.seq);
  const int64_t dim = s.head_dim;
  const int64_t most_rows = rows_at_once(s.seq);
  float* keys_t = scratch;                    // [head_dim, width]
  float* values = keys_t + dim * width;       // [width, head_dim]
  float* queries = values + width * dim;      // [rows, head_dim]
  float* scores = queries + most_rows * dim;  // [rows, keys]
  unpack_transposed(k, s.seq, dim, keys_t);
  unpack(v, 0, 0, s.seq, dim, 1.0f, values);
  std::fill(values + s.seq * dim, values + width * dim, 0.0f);
  for (int64_t head = 0; head < s.group_size; ++head) {
    for (int64_t first = 0; first < s.seq; first += most_rows) {
      const Block b = block_at(first, std::min(most_rows, s.seq - first), s.window);
      unpack(q, head, first, b.rows, dim, s.scale, queries);
      multiply({queries, dim, 1}, keys_t + b.first_key, width, scores, b.keys, b.rows, b.keys, dim,
               false);
      float sums[64];
      for (int64_t r = 0; r < b.rows; ++r) {
        const int64_t row = first + r;
        lse[head * s.seq + row] =
            softmax_row(scores + r * b.keys, first_key(row, s.window) - b.first_key,
                        row + 1 - b.first_key, b.keys, &sums[r]);
      }
      multiply({scores, b.keys, 1}, values + b.first_key * dim, dim, queries, dim, b.rows, dim,
               b.keys, false);
      for (int64_t r = 0; r < b.rows; ++r) {
        for (int64_t i = 0; i < dim; ++i) queries[r * dim + i] /= sums[r];
      }
      pack(queries, out, head, first, b.rows, dim);
    }
  }
}

/// scores -> probabilities P; dprobs dP -> dS = P (dP - rowsum(P dP)), zero where nothing is seen.
REGROUP_INLINE void softmax_gradient_row(float* z, float* dp, int64_t low, int64_t high,
                                         int64_t width, float lse, float delta) {
  for (int64_t i = 0; i < width; ++i) {
    const float p = exp_fast(z[i] - lse);
    z[i] = p;
    dp[i] = p * (dp[i] - delta);
  }
  for (int64_t i = 0; i < low; ++i) z[i] = dp[i] = 0.0f;
  for (int64_t i = high; i < width; ++i) z[i] = dp[i] = 0.0f;
}

template <typename T>
REGROUP_INLINE void backward(const AttentionShape& s, const HeadRows<const T>& q,
                             const HeadRows<const T>& k, const HeadRows<const T>& v,
                             const HeadRows<const T>& out, const HeadRows<const T>& dout,
                             const float* lse, const HeadRows<T>& dq, const HeadRows<T>& dk,
                             const HeadRows<T>& dv, float* scratch) {
  const int64_t width = padded(s.seq);
  const int64_t dim = s.head_dim;
  const int64_t most_rows = rows_at_once(s.seq);
  float* keys_t = scratch;                      // [head_dim, width]
  float* values_t = keys_t + dim * width;       // [head_dim, width]
  float* keys = values_t + dim * width;         // [width, head_dim]
  float* dkeys = keys + width * dim;            // [width, head_dim]
  float* dvalues = dkeys + width * dim;         // [width, head_dim]
  float* queries = dvalues + width * dim;       // [rows, head_dim], times scale
  float* upstream = queries + most_rows * dim;  // [rows, head_dim]
  float* mixed = upstream + most_rows * dim;    // [rows, head_dim]: the output, then dq
  float* probs = mixed + most_rows * dim;       // [rows, keys]
  float* dscores = probs + most_rows * width;   // [rows, keys]
  unpack_transposed(k, s.seq, dim, keys_t);
  unpack_transposed(v, s.seq, dim, values_t);
  unpack(k, 0, 0, s.seq, dim, 1.0f, keys);
  std::fill(keys + s.seq * dim, keys + width * dim, 0.0f);
  std::fill(dkeys, dkeys + 2 * width * dim, 0.0f);
  for (int64_t head = 0; head < s.group_size; ++head) {
    for (int64_t first = 0; first < s.seq; first += most_rows) {
      const Block b = block_at(first, std::min(most_rows, s.seq - first), s.window);
      unpack(q, head, first, b.rows, dim, s.scale, queries);
      unpack(dout, head, first, b.rows, dim, 1.0f, upstream);
      unpack(out, head, first, b.rows, dim, 1.0f, mixed);
      multiply({queries, dim, 1}, keys_t + b.first_key, width, probs, b.keys, b.rows, b.keys, dim,
               false);
      multiply({upstream, dim, 1}, values_t + b.first_key, width, dscores, b.keys, b.rows, b.keys,
               dim, false);
      for (int64_t r = 0; r < b.rows; ++r) {
        const int64_t row = first + r;
        float delta = 0.0f;  // rowsum(P dP) = dout . out
        for (int64_t i = 0; i < dim; ++i) delta += upstream[r * dim + i] * mixed[r * dim + i];
        softmax_gradient_row(probs + r * b.keys, dscores + r * b.keys,
                             first_key(row, s.window) - b.first_key, row + 1 - b.first_key, b.keys,
                             lse[head * s.seq + row], delta);
      }
      multiply({probs, 1, b.keys}, upstream, dim, dvalues + b.first_key * dim, dim, b.keys, dim,
               b.rows, true);
      multiply({dscores, 1, b.keys}, queries, dim, dkeys + b.first_key * dim, dim, b.keys, dim,
               b.rows, true);
      multiply({dscores, b.keys, 1}, keys + b.first_key * dim, dim, mixed, dim, b.rows, dim, b.keys,
               false);
      for (int64_t i = 0; i < b.rows * dim; ++i) mixed[i] *= s.scale;
      pack(mixed, dq, head, first, b.rows, dim);
    }
  }
  pack(dkeys, dk, 0, 0, s.seq, dim);
  pack(dvalues, dv, 0, 0, s.seq, dim);
}

}  // namespace

int64_t attention_scratch(const AttentionShape& s) {
  const int64_t width = padded(s.seq);
  const int64_t rows = rows_at_once(s.seq);
  return 5 * width * s.head_dim + 3 * rows * s.head_dim + 2 * rows * width;
}

#define REGROUP_DEFINE_ATTENTION(T)                                                                \
  REGROUP_CLONES void attention_forward(const AttentionShape& shape, HeadRows<const T> q,          \
                                        HeadRows<const T> k, HeadRows<const T> v, HeadRows<T> out, \
                                        float* lse, float* scratch) {                              \
    forward<T>(shape, q, k, v, out, lse, scratch);                                                 \
  }                                                                                                \
  REGROUP_CLONES void attention_backward(                                                          \
      const AttentionShape& shape, HeadRows<const T> q, HeadRows<const T> k, HeadRows<const T> v,  \
      HeadRows<const T> out, HeadRows<const T> dout, const float* lse, HeadRows<T> dq,             \
      HeadRows<T> dk, HeadRows<T> dv, float* scratch) {                                            \
    backward<T>(shape, q, k, v, out, dout, lse, dq, dk, dv, scratch);                              \
  }

REGROUP_DEFINE_ATTENTION(float)
REGROUP_DEFINE_ATTENTION(uint16_t)

}  // namespace regroup::kernels
