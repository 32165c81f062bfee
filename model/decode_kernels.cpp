#include "decode_kernels.h"

#include <hwy/cache_control.h>

#include <algorithm>
#include <array>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "decode_kernels.cpp"
#include <hwy/foreach_target.h>

#include "kernel_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace regroup::kernels::HWY_NAMESPACE {

using Lanes = hn::Vec<Whole>;

template <typename T>
HWY_INLINE float value_of(const T* p) {
  return hn::GetLane(load(One(), p));
}

/// Dot products of kRows rows, `stride` apart, with x.
template <size_t kRows, typename T>
HWY_INLINE std::array<float, kRows> dots(const T* rows, int64_t stride, const float* x, int64_t n) {
  const Whole d;
  Lanes even[kRows];
  Lanes odd[kRows];
  for (size_t r = 0; r < kRows; ++r) even[r] = odd[r] = hn::Zero(d);
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    const Lanes a = hn::LoadU(d, x + i);
    const Lanes b = hn::LoadU(d, x + i + kLanes);
    for (size_t r = 0; r < kRows; ++r) {
      const T* row = rows + static_cast<int64_t>(r) * stride + i;
      even[r] = hn::MulAdd(load(d, row), a, even[r]);
      odd[r] = hn::MulAdd(load(d, row + kLanes), b, odd[r]);
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    const Lanes a = hn::LoadU(d, x + i);
    for (size_t r = 0; r < kRows; ++r) {
      even[r] = hn::MulAdd(load(d, rows + static_cast<int64_t>(r) * stride + i), a, even[r]);
    }
  }
  std::array<float, kRows> result;
  for (size_t r = 0; r < kRows; ++r) {
    result[r] = hn::GetLane(hn::SumOfLanes(d, hn::Add(even[r], odd[r])));
    const T* row = rows + static_cast<int64_t>(r) * stride;
    for (int64_t j = i; j < n; ++j) result[r] += value_of(row + j) * x[j];
  }
  return result;
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

/// score[i] = q k[i]
template <typename T>
HWY_INLINE void scores_of(const KeySpan<T>& span, const float* q, float* score) {
  const int64_t dim = span.head_dim;
  int64_t i = 0;
  for (; i + 4 <= span.count; i += 4) {
    const auto part = dots<4>(span.k + i * dim, dim, q, dim);
    std::copy(part.begin(), part.end(), score + i);
  }
  for (; i < span.count; ++i) score[i] = dots<1>(span.k + i * dim, dim, q, dim)[0];
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

/// out[column ...] = sum over keys of weight[i] v[i, column ...], kVectors vectors of columns.
template <size_t kVectors, typename T>
HWY_INLINE void mix_columns(const KeySpan<T>& span, const float* weight, int64_t column,
                            float* out) {
  const Whole d;
  Lanes sum[kVectors];
  for (size_t c = 0; c < kVectors; ++c) sum[c] = hn::Zero(d);
  for (int64_t i = 0; i < span.count; ++i) {
    const Lanes w = hn::Set(d, weight[i]);
    const T* row = span.v + i * span.head_dim + column;
    for (size_t c = 0; c < kVectors; ++c) {
      sum[c] = hn::MulAdd(w, load(d, row + static_cast<int64_t>(c) * kLanes), sum[c]);
    }
  }
  for (size_t c = 0; c < kVectors; ++c) {
    hn::StoreU(sum[c], d, out + column + static_cast<int64_t>(c) * kLanes);
  }
}

template <typename T>
HWY_INLINE void mix_values(const KeySpan<T>& span, const float* weight, float* out) {
  int64_t column = 0;
  for (; column + 4 * kLanes <= span.head_dim; column += 4 * kLanes) {
    mix_columns<4>(span, weight, column, out);
  }
  for (; column + kLanes <= span.head_dim; column += kLanes)
    mix_columns<1>(span, weight, column, out);
  for (; column < span.head_dim; ++column) {
    float sum = 0;
    for (int64_t i = 0; i < span.count; ++i) {
      sum += weight[i] * value_of(span.v + i * span.head_dim + column);
    }
    out[column] = sum;
  }
}

template <typename T>
HWY_INLINE void attend_span_of(const KeySpan<T>& span, const SpanSums& sums) {
  float score[kMaxKeys];
  for (int64_t g = 0; g < span.group_size; ++g) {
    scores_of(span, span.q + g * span.head_dim, score);
    sums.max[g] = highest(score, span.count);
    sums.sum[g] = exponentials(score, span.count, sums.max[g]);
    mix_values(span, score, sums.out + g * span.head_dim);
  }
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
