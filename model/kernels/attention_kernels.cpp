#include "attention_kernels.h"

#include <algorithm>
#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/attention_kernels.cpp"
#include <hwy/foreach_target.h>

#include "kernel_math-inl.h"
#include "matrix_tile-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

/// Rows of one head as float32 times `factor`, [count, width]; columns from dim on are zero.
template <typename T>
HWY_INLINE void unpack(const HeadRows<const T>& rows, int64_t head, int64_t first, int64_t count,
                       int64_t dim, int64_t width, float factor, float* out) {
  for (int64_t r = 0; r < count; ++r) {
    const T* in = rows.data + head * rows.head_stride + (first + r) * rows.row_stride;
    float* to = out + r * width;
    for_lanes(dim, [=](auto d, int64_t i) HWY_ATTR {
      store(d, to + i, hn::Mul(load(d, in + i), hn::Set(d, factor)));
    });
    std::fill(to + dim, to + width, 0.0f);
  }
}

/// The way back, times `factor`.
template <typename T>
HWY_INLINE void pack(const float* in, const HeadRows<T>& rows, int64_t head, int64_t first,
                     int64_t count, int64_t dim, int64_t width, float factor) {
  for (int64_t r = 0; r < count; ++r) {
    T* out = rows.data + head * rows.head_stride + (first + r) * rows.row_stride;
    const float* from = in + r * width;
    for_lanes(dim, [=](auto d, int64_t i) HWY_ATTR {
      store(d, out + i, hn::Mul(load(d, from + i), hn::Set(d, factor)));
    });
  }
}

/// Rows [first, first + count) of the KV head transposed, as keys [key, key + count) of panels of 16 keys,
/// [padded(keys) / 16, head_dim, 16].
template <typename T>
HWY_INLINE void unpack_columns(const HeadRows<const T>& rows, int64_t first, int64_t count,
                               int64_t dim, int64_t key, float* out) {
  const One one;
  for (int64_t r = 0; r < count; ++r) {
    float* to = out + (key + r) / kPanel * dim * kPanel + (key + r) % kPanel;
    const T* in = rows.data + (first + r) * rows.row_stride;
    for (int64_t i = 0; i < dim; ++i) to[i * kPanel] = hn::GetLane(load(one, in + i));
  }
}

/// Zero as keys [keys, padded(keys)) of the panels.
HWY_INLINE void clear_columns(int64_t keys, int64_t dim, float* out) {
  for (int64_t r = keys; r < padded(keys); ++r) {
    float* to = out + r / kPanel * dim * kPanel + r % kPanel;
    for (int64_t i = 0; i < dim; ++i) to[i * kPanel] = 0.0f;
  }
}

/// The KV head transposed, in panels of 16 tokens, [padded(seq) / 16, head_dim, 16]; the padding is zero.
template <typename T>
HWY_INLINE void unpack_panels(const HeadRows<const T>& rows, int64_t seq, int64_t dim, float* out) {
  unpack_columns(rows, 0, seq, dim, 0, out);
  clear_columns(seq, dim, out);
}

/// All keys transposed in panels, keys_t, and all values [padded(keys), width]: those of the past, then the
/// sequence's own.
template <typename T>
HWY_INLINE void unpack_all(const AttentionShape& s, const HeadRows<const T>& k,
                           const HeadRows<const T>& v, int64_t width, float* keys_t,
                           float* values) {
  int64_t key = 0;
  const auto add = [&](const RowSpan& span) {
    unpack_columns(k, span.first, span.count, s.head_dim, key, keys_t);
    unpack(v, 0, span.first, span.count, s.head_dim, width, 1.0f, values + key * width);
    key += span.count;
  };
  for (const RowSpan& span : s.past) add(span);
  add({0, s.seq});
  clear_columns(key, s.head_dim, keys_t);
  std::fill(values + key * width, values + padded(key) * width, 0.0f);
}

/// A block of query rows and the span of keys any of them sees, cut at multiples of 16. Rows and keys are counted
/// from the first of the block.
struct Block {
  int64_t first_row;
  int64_t rows;
  int64_t first_key;
  int64_t keys;
  int64_t window;

  /// Keys that a row sees.
  Span seen_by(int64_t row) const {
    const int64_t token = first_row + row;
    const int64_t first = window > 0 && token >= window ? token - window + 1 : 0;
    return {first - first_key, token + 1 - first_key};
  }
  /// Keys that any of some rows sees, cut at multiples of 16.
  Span seen_by(int64_t row, int64_t count) const {
    return {seen_by(row).low / kPanel * kPanel, padded(seen_by(row + count - 1).high)};
  }
  /// Rows that see any of some keys.
  Span seeing(int64_t key, int64_t count) const {
    const int64_t ahead = first_row - first_key;
    const int64_t low = std::clamp<int64_t>(key - ahead, 0, rows);
    const int64_t last = window > 0 ? key + count - 1 + window - ahead : rows;
    return {low, std::clamp<int64_t>(last, low, rows)};
  }
};

HWY_INLINE Block block_at(int64_t first_row, int64_t rows, int64_t window) {
  const int64_t first = window > 0 && first_row >= window ? first_row - window + 1 : 0;
  const int64_t first_key = first / kPanel * kPanel;
  return {first_row, rows, first_key, padded(first_row + rows - first_key), window};
}

/// Zero outside of what a row sees.
HWY_INLINE void clear_unseen(float* z, const Span& seen, int64_t width) {
  std::fill(z, z + seen.low, 0.0f);
  std::fill(z + seen.high, z + width, 0.0f);
}

/// Scores of row r become unnormalised probabilities.
/// @return the logarithm of their denominator; `sum` receives the denominator itself
HWY_INLINE float softmax_row(float* z, const Block& b, int64_t r, float* sum) {
  const Span seen = b.seen_by(r);
  const Span cut = b.seen_by(r, 1);  // whole vectors
  std::fill(z + cut.low, z + seen.low, -1e30f);
  std::fill(z + seen.high, z + cut.high, -1e30f);
  float* first = z + cut.low;
  const float max = highest(first, cut.high - cut.low);
  const double total = sum_lanes(cut.high - cut.low, [=](auto d, int64_t i) HWY_ATTR {
    const auto e = exp_bounded(d, hn::Sub(hn::LoadU(d, first + i), hn::Set(d, max)));
    hn::StoreU(e, d, first + i);
    return e;
  });
  clear_unseen(z, seen, b.keys);
  *sum = static_cast<float>(total);
  return max + std::log(*sum);
}

template <typename T>
void forward(const AttentionShape& s, const HeadRows<const T>& q, const HeadRows<const T>& k,
             const HeadRows<const T>& v, const HeadRows<T>& out, float* lse, float* scratch) {
  const int64_t past = s.past_keys();
  const int64_t keys = padded(past + s.seq);
  const int64_t dim = s.head_dim;
  const int64_t width = padded(dim);
  const int64_t max_rows = rows_at_once(keys);
  float* keys_t = scratch;                     // [keys / 16, head_dim, 16]
  float* values = keys_t + dim * keys;         // [keys, width]
  float* queries = values + keys * width;      // [rows, width]
  float* scores = queries + max_rows * width;  // [rows, keys]
  unpack_all(s, k, v, width, keys_t, values);
  for (int64_t head = 0; head < s.group_size; ++head) {
    for (int64_t first = 0; first < s.seq; first += max_rows) {
      const Block b = block_at(past + first, std::min(max_rows, s.seq - first), s.window);
      const auto scored = [&](int64_t r, int64_t n) { return Part{b.seen_by(r, n), {0, dim}}; };
      const auto by_row = [&](int64_t r, int64_t n) { return Part{{0, width}, b.seen_by(r, n)}; };
      unpack(q, head, first, b.rows, dim, width, s.scale, queries);
      multiply({queries, width, 1}, {keys_t + b.first_key * dim, kPanel, dim * kPanel}, scores,
               b.keys, b.rows, false, scored);
      float sums[kMaxRows];
      for (int64_t r = 0; r < b.rows; ++r) {
        lse[head * s.seq + first + r] = softmax_row(scores + r * b.keys, b, r, &sums[r]);
      }
      multiply({scores, b.keys, 1}, {values + b.first_key * width, width, kPanel}, queries, width,
               b.rows, false, by_row);
      for (int64_t r = 0; r < b.rows; ++r) {
        pack(queries + r * width, out, head, first + r, 1, dim, width, 1.0f / sums[r]);
      }
    }
  }
}

/// scores -> probabilities P; dprobs dP -> dS = P (dP - rowsum(P dP)), zero where row r sees nothing.
HWY_INLINE void softmax_gradient_row(float* z, float* dp, const Block& b, int64_t r, float lse,
                                     float delta) {
  const Span cut = b.seen_by(r, 1);
  float* p = z + cut.low;
  float* ds = dp + cut.low;
  for_lanes(cut.high - cut.low, [=](auto d, int64_t i) HWY_ATTR {
    const auto e = exp_bounded(d, hn::Sub(hn::LoadU(d, p + i), hn::Set(d, lse)));
    hn::StoreU(e, d, p + i);
    hn::StoreU(hn::Mul(e, hn::Sub(hn::LoadU(d, ds + i), hn::Set(d, delta))), d, ds + i);
  });
  clear_unseen(z, b.seen_by(r), b.keys);
  clear_unseen(dp, b.seen_by(r), b.keys);
}

template <typename T>
void backward(const AttentionShape& s, const HeadRows<const T>& q, const HeadRows<const T>& k,
              const HeadRows<const T>& v, const HeadRows<const T>& out,
              const HeadRows<const T>& dout, const float* lse, const HeadRows<T>& dq,
              const HeadRows<T>& dk, const HeadRows<T>& dv, float* scratch) {
  const int64_t tokens = padded(s.seq);
  const int64_t dim = s.head_dim;
  const int64_t width = padded(dim);
  const int64_t max_rows = rows_at_once(s.seq);
  float* keys_t = scratch;                       // [tokens / 16, head_dim, 16]
  float* values_t = keys_t + dim * tokens;       // [tokens / 16, head_dim, 16]
  float* keys = values_t + dim * tokens;         // [tokens, width]
  float* dkeys = keys + tokens * width;          // [tokens, width]
  float* dvalues = dkeys + tokens * width;       // [tokens, width]
  float* queries = dvalues + tokens * width;     // [rows, width], times scale
  float* upstream = queries + max_rows * width;  // [rows, width]
  float* mixed = upstream + max_rows * width;    // [rows, width]: the output, then dq
  float* probs = mixed + max_rows * width;       // [rows, keys]
  float* dscores = probs + max_rows * tokens;    // [rows, keys]
  unpack_panels(k, s.seq, dim, keys_t);
  unpack_panels(v, s.seq, dim, values_t);
  unpack(k, 0, 0, s.seq, dim, width, 1.0f, keys);
  std::fill(keys + s.seq * width, keys + tokens * width, 0.0f);
  std::fill(dkeys, dkeys + 2 * tokens * width, 0.0f);
  for (int64_t head = 0; head < s.group_size; ++head) {
    for (int64_t first = 0; first < s.seq; first += max_rows) {
      const Block b = block_at(first, std::min(max_rows, s.seq - first), s.window);
      const auto scored = [&](int64_t r, int64_t n) { return Part{b.seen_by(r, n), {0, dim}}; };
      const auto by_row = [&](int64_t r, int64_t n) { return Part{{0, width}, b.seen_by(r, n)}; };
      const auto by_key = [&](int64_t k0, int64_t n) { return Part{{0, width}, b.seeing(k0, n)}; };
      unpack(q, head, first, b.rows, dim, width, s.scale, queries);
      unpack(dout, head, first, b.rows, dim, width, 1.0f, upstream);
      unpack(out, head, first, b.rows, dim, width, 1.0f, mixed);
      multiply({queries, width, 1}, {keys_t + b.first_key * dim, kPanel, dim * kPanel}, probs,
               b.keys, b.rows, false, scored);
      multiply({upstream, width, 1}, {values_t + b.first_key * dim, kPanel, dim * kPanel}, dscores,
               b.keys, b.rows, false, scored);
      for (int64_t r = 0; r < b.rows; ++r) {
        const float* up = upstream + r * width;
        const float* mean = mixed + r * width;
        // rowsum(P dP) = dout . out
        const double delta = sum_lanes(width, [=](auto d, int64_t i) HWY_ATTR {
          return hn::Mul(hn::LoadU(d, up + i), hn::LoadU(d, mean + i));
        });
        softmax_gradient_row(probs + r * b.keys, dscores + r * b.keys, b, r,
                             lse[head * s.seq + first + r], static_cast<float>(delta));
      }
      multiply({probs, 1, b.keys}, {upstream, width, kPanel}, dvalues + b.first_key * width, width,
               b.keys, true, by_key);
      multiply({dscores, 1, b.keys}, {queries, width, kPanel}, dkeys + b.first_key * width, width,
               b.keys, true, by_key);
      multiply({dscores, b.keys, 1}, {keys + b.first_key * width, width, kPanel}, mixed, width,
               b.rows, false, by_row);
      pack(mixed, dq, head, first, b.rows, dim, width, s.scale);
    }
  }
  pack(dkeys, dk, 0, 0, s.seq, dim, width, 1.0f);
  pack(dvalues, dv, 0, 0, s.seq, dim, width, 1.0f);
}

// HWY_EXPORT takes names, not templates.
#define REGROUP_TARGET_ATTENTION(T, S)                                                            \
  void Forward##S(const AttentionShape& shape, const HeadRows<const T>& q,                        \
                  const HeadRows<const T>& k, const HeadRows<const T>& v, const HeadRows<T>& out, \
                  float* lse, float* scratch) {                                                   \
    forward<T>(shape, q, k, v, out, lse, scratch);                                                \
  }                                                                                               \
  void Backward##S(const AttentionShape& shape, const HeadRows<const T>& q,                       \
                   const HeadRows<const T>& k, const HeadRows<const T>& v,                        \
                   const HeadRows<const T>& out, const HeadRows<const T>& dout, const float* lse, \
                   const HeadRows<T>& dq, const HeadRows<T>& dk, const HeadRows<T>& dv,           \
                   float* scratch) {                                                              \
    backward<T>(shape, q, k, v, out, dout, lse, dq, dk, dv, scratch);                             \
  }

REGROUP_TARGET_ATTENTION(float, F32)
REGROUP_TARGET_ATTENTION(uint16_t, Bf16)
#undef REGROUP_TARGET_ATTENTION

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace regroup::kernels {

int64_t attention_scratch(const AttentionShape& s) {
  const int64_t tokens = padded(s.past_keys() + s.seq);
  const int64_t width = padded(s.head_dim);
  const int64_t rows = rows_at_once(tokens);
  return 5 * tokens * width + 3 * rows * width + 2 * rows * tokens;
}

#define REGROUP_DEFINE_ATTENTION(T, S)                                                           \
  HWY_EXPORT(Forward##S);                                                                        \
  HWY_EXPORT(Backward##S);                                                                       \
  void attention_forward(const AttentionShape& shape, HeadRows<const T> q, HeadRows<const T> k,  \
                         HeadRows<const T> v, HeadRows<T> out, float* lse, float* scratch) {     \
    HWY_DYNAMIC_DISPATCH(Forward##S)(shape, q, k, v, out, lse, scratch);                         \
  }                                                                                              \
  void attention_backward(const AttentionShape& shape, HeadRows<const T> q, HeadRows<const T> k, \
                          HeadRows<const T> v, HeadRows<const T> out, HeadRows<const T> dout,    \
                          const float* lse, HeadRows<T> dq, HeadRows<T> dk, HeadRows<T> dv,      \
                          float* scratch) {                                                      \
    HWY_DYNAMIC_DISPATCH(Backward##S)(shape, q, k, v, out, dout, lse, dq, dk, dv, scratch);      \
  }

REGROUP_DEFINE_ATTENTION(float, F32)
REGROUP_DEFINE_ATTENTION(uint16_t, Bf16)

}  // namespace regroup::kernels
#endif  // HWY_ONCE
