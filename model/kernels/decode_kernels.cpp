#include "decode_kernels.h"

#include <hwy/cache_control.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/decode_kernels.cpp"
#include <hwy/foreach_target.h>

#include "kernel_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

using Lanes = hn::Vec<Whole>;

template <typename T>
HWY_INLINE float value_of(const T* p) {
  return hn::GetLane(load(One(), p));
}

/// row x. Weights come from memory as one stream: rows one after another, their lines asked for ahead.
template <typename T>
HWY_INLINE float streamed_dot(const T* row, const float* x, int64_t n) {
  constexpr int64_t kAhead = 2048 / sizeof(T);
  constexpr int64_t kLine = 64 / sizeof(T);
  constexpr int64_t kSums = 4;
  const Whole d;
  Lanes sum[kSums];
  for (Lanes& s : sum) s = hn::Zero(d);
  int64_t i = 0;
  for (; i + kSums * kLanes <= n; i += kSums * kLanes) {
    for (int64_t line = 0; line < kSums * kLanes; line += kLine) {
      hwy::Prefetch(row + i + kAhead + line);
    }
    for (int64_t s = 0; s < kSums; ++s) {
      const int64_t at = i + s * kLanes;
      sum[s] = hn::MulAdd(load(d, row + at), hn::LoadU(d, x + at), sum[s]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    sum[0] = hn::MulAdd(load(d, row + i), hn::LoadU(d, x + i), sum[0]);
  }
  const Lanes all = hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
  float result = hn::GetLane(hn::SumOfLanes(d, all));
  for (; i < n; ++i) result += value_of(row + i) * x[i];
  return result;
}

template <typename T>
HWY_INLINE void matvec_of(const MatVec<T>& m, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; ++o) {
    const float bias = m.bias == nullptr ? 0.0f : value_of(m.bias + o);
    for (int64_t r = 0; r < m.rows; ++r) {
      const float sum = streamed_dot(m.weight + o * m.in, m.x + r * m.in, m.in);
      store(One(), m.y + r * m.out + o, hn::Set(One(), sum + bias));
    }
  }
}

constexpr size_t kKeysAtOnce = 4;
constexpr int64_t kHeadsAtOnce = 3;  // with four keys twelve sums, which 16 registers hold
constexpr int64_t kKeysAhead = 8;

/// Asks for the lines of `count` rows.
template <typename T>
HWY_INLINE void prefetch_rows(const T* rows, int64_t count, int64_t dim) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count * dim; i += kLine) hwy::Prefetch(rows + i);
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void store_sums(Lanes a, Lanes b, Lanes c, Lanes e, float* out) {
  const Lanes all[] = {a, b, c, e};
  for (size_t i = 0; i < 4; ++i) out[i] = hn::GetLane(all[i]);
}
#else
/// Sums of the lanes of four vectors, to out [4].
HWY_INLINE void store_sums(Lanes a, Lanes b, Lanes c, Lanes e, float* out) {
  const Whole d;
  const hn::Repartition<double, Whole> pairs;
  // Of each block of four lanes: a0 + a2, b0 + b2, a1 + a3, b1 + b3.
  const Lanes ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  const Lanes ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
  const auto ab_pairs = hn::BitCast(pairs, ab);
  const auto ce_pairs = hn::BitCast(pairs, ce);
  const Lanes low = hn::BitCast(d, hn::InterleaveLower(pairs, ab_pairs, ce_pairs));
  const Lanes high = hn::BitCast(d, hn::InterleaveUpper(pairs, ab_pairs, ce_pairs));
  HWY_ALIGN float blocks[kLanes];
  hn::Store(hn::Add(low, high), d, blocks);
  for (int64_t i = 0; i < 4; ++i) {
    out[i] = blocks[i];
    for (int64_t block = 4; block < kLanes; block += 4) out[i] += blocks[block + i];
  }
}
#endif

/// score[h][i] = q[h] k[i] of four keys from `key` on and kHeads query heads.
template <size_t kHeads, typename T>
HWY_INLINE void score_keys(const KeySpan<T>& span, const float* q, int64_t key, float* score) {
  const Whole d;
  const int64_t dim = span.head_dim;
  const T* k = span.k + key * dim;
  Lanes sum[kHeads][kKeysAtOnce];
  for (auto& head : sum) {
    for (Lanes& lanes : head) lanes = hn::Zero(d);
  }
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) {
    Lanes row[kKeysAtOnce];
    for (size_t r = 0; r < kKeysAtOnce; ++r)
      row[r] = load(d, k + static_cast<int64_t>(r) * dim + i);
    for (size_t h = 0; h < kHeads; ++h) {
      const Lanes x = hn::LoadU(d, q + static_cast<int64_t>(h) * dim + i);
      for (size_t r = 0; r < kKeysAtOnce; ++r) sum[h][r] = hn::MulAdd(row[r], x, sum[h][r]);
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    float* out = score + static_cast<int64_t>(h) * kMaxKeys + key;
    store_sums(sum[h][0], sum[h][1], sum[h][2], sum[h][3], out);
    for (int64_t j = i; j < dim; ++j) {
      const float x = q[static_cast<int64_t>(h) * dim + j];
      for (size_t r = 0; r < kKeysAtOnce; ++r) {
        out[r] += value_of(k + static_cast<int64_t>(r) * dim + j) * x;
      }
    }
  }
}

/// The same of one key, for what is left of a span.
template <typename T>
HWY_INLINE float score_key(const T* k, const float* q, int64_t dim) {
  const Whole d;
  Lanes sum = hn::Zero(d);
  int64_t i = 0;
  for (; i + kLanes <= dim; i += kLanes) {
    sum = hn::MulAdd(load(d, k + i), hn::LoadU(d, q + i), sum);
  }
  float result = hn::GetLane(hn::SumOfLanes(d, sum));
  for (; i < dim; ++i) result += value_of(k + i) * q[i];
  return result;
}

/// score[h][i] = q[h] k[i] of all keys. The first heads that read a span ask for what memory has of it: keys soon
/// needed, and the values, which come after the keys.
template <size_t kHeads, typename T>
HWY_INLINE void scores_of(const KeySpan<T>& span, const float* q, bool first, float* score) {
  const int64_t dim = span.head_dim;
  constexpr auto kKeys = static_cast<int64_t>(kKeysAtOnce);
  int64_t key = 0;
  for (; key + kKeys <= span.count; key += kKeys) {
    if (first) {
      prefetch_rows(span.k + (key + kKeysAhead) * dim, kKeys, dim);
      prefetch_rows(span.v + key * dim, kKeys, dim);
    }
    score_keys<kHeads>(span, q, key, score);
  }
  for (; key < span.count; ++key) {
    for (size_t h = 0; h < kHeads; ++h) {
      score[static_cast<int64_t>(h) * kMaxKeys + key] =
          score_key(span.k + key * dim, q + static_cast<int64_t>(h) * dim, dim);
    }
  }
}

/// score = exp(score - max). @return their sum
HWY_INLINE float exponentials(float* score, int64_t count, float max) {
  for_lanes(count, [=](auto d, int64_t i) HWY_ATTR {
    store(d, score + i, exp_bounded(d, hn::Sub(load(d, score + i), hn::Set(d, max))));
  });
  const double sum =
      sum_lanes(count, [=](auto d, int64_t i) HWY_ATTR { return load(d, score + i); });
  return static_cast<float>(sum);
}

/// out[h][column ...] = sum over keys of weight[h][i] v[i, column ...], kVectors vectors of columns.
template <size_t kHeads, size_t kVectors, typename T>
HWY_INLINE void mix_columns(const KeySpan<T>& span, const float* weight, int64_t column,
                            float* out) {
  const Whole d;
  Lanes sum[kHeads][kVectors];
  for (auto& head : sum) {
    for (Lanes& lanes : head) lanes = hn::Zero(d);
  }
  for (int64_t i = 0; i < span.count; ++i) {
    const T* row = span.v + i * span.head_dim + column;
    Lanes value[kVectors];
    for (size_t c = 0; c < kVectors; ++c)
      value[c] = load(d, row + static_cast<int64_t>(c) * kLanes);
    for (size_t h = 0; h < kHeads; ++h) {
      const Lanes w = hn::Set(d, weight[static_cast<int64_t>(h) * kMaxKeys + i]);
      for (size_t c = 0; c < kVectors; ++c) sum[h][c] = hn::MulAdd(w, value[c], sum[h][c]);
    }
  }
  for (size_t h = 0; h < kHeads; ++h) {
    float* to = out + static_cast<int64_t>(h) * span.head_dim + column;
    for (size_t c = 0; c < kVectors; ++c) {
      hn::StoreU(sum[h][c], d, to + static_cast<int64_t>(c) * kLanes);
    }
  }
}

template <size_t kHeads, typename T>
HWY_INLINE void mix_values(const KeySpan<T>& span, const float* weight, float* out) {
  const int64_t dim = span.head_dim;
  int64_t column = 0;
  for (; column + 4 * kLanes <= dim; column += 4 * kLanes) {
    mix_columns<kHeads, 4>(span, weight, column, out);
  }
  for (; column + kLanes <= dim; column += kLanes) {
    mix_columns<kHeads, 1>(span, weight, column, out);
  }
  for (; column < dim; ++column) {
    for (size_t h = 0; h < kHeads; ++h) {
      float sum = 0;
      for (int64_t i = 0; i < span.count; ++i) {
        sum += weight[static_cast<int64_t>(h) * kMaxKeys + i] * value_of(span.v + i * dim + column);
      }
      out[static_cast<int64_t>(h) * dim + column] = sum;
    }
  }
}

/// Query heads [first, first + kHeads) of the group.
template <size_t kHeads, typename T>
HWY_INLINE void attend_heads(const KeySpan<T>& span, int64_t first, const SpanSums& sums) {
  HWY_ALIGN float score[kHeads * kMaxKeys] = {};
  scores_of<kHeads>(span, span.q + first * span.head_dim, first == 0, score);
  for (size_t h = 0; h < kHeads; ++h) {
    const int64_t g = first + static_cast<int64_t>(h);
    float* own = score + static_cast<int64_t>(h) * kMaxKeys;
    sums.max[g] = highest(own, span.count);
    sums.sum[g] = exponentials(own, span.count, sums.max[g]);
  }
  mix_values<kHeads>(span, score, sums.out + first * span.head_dim);
}

template <typename T>
HWY_INLINE void attend_span_of(const KeySpan<T>& span, const SpanSums& sums) {
  int64_t g = 0;
  for (; g + kHeadsAtOnce <= span.group_size; g += kHeadsAtOnce)
    attend_heads<static_cast<size_t>(kHeadsAtOnce)>(span, g, sums);
  for (; g + 2 <= span.group_size; g += 2) attend_heads<2>(span, g, sums);
  if (g < span.group_size) attend_heads<1>(span, g, sums);
}

void MatVecF32(const MatVec<float>& m, int64_t begin, int64_t end) { matvec_of(m, begin, end); }
void MatVecBf16(const MatVec<uint16_t>& m, int64_t begin, int64_t end) { matvec_of(m, begin, end); }
void AttendF32(const KeySpan<float>& span, const SpanSums& sums) { attend_span_of(span, sums); }
void AttendBf16(const KeySpan<uint16_t>& span, const SpanSums& sums) { attend_span_of(span, sums); }

}  // namespace regroup::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace regroup::kernels {

HWY_EXPORT(MatVecF32);
HWY_EXPORT(MatVecBf16);
HWY_EXPORT(AttendF32);
HWY_EXPORT(AttendBf16);

void matvec(const MatVec<float>& m, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(MatVecF32)(m, begin, end);
}
void matvec(const MatVec<uint16_t>& m, int64_t begin, int64_t end) {
  HWY_DYNAMIC_DISPATCH(MatVecBf16)(m, begin, end);
}
void attend_span(const KeySpan<float>& span, const SpanSums& sums) {
  HWY_DYNAMIC_DISPATCH(AttendF32)(span, sums);
}
void attend_span(const KeySpan<uint16_t>& span, const SpanSums& sums) {
  HWY_DYNAMIC_DISPATCH(AttendBf16)(span, sums);
}

}  // namespace regroup::kernels
#endif  // HWY_ONCE
