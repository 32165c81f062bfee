#include "decode.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/decode_kernels.h"
#include "kernels/kernel_types.h"

namespace regroup {
namespace {

using at::Tensor;
using kernels::data;
using kernels::with_type;

constexpr int64_t kMaxRows = 8;
constexpr int64_t kWorkOfAThread = 32768;  // multiply-adds below which a second thread does not pay

/// A cache's rows: head h of sequence b begins at b * batch + h * head, a key after the other.
bool has_dense_keys(const Tensor& x) { return x.stride(3) == 1 && x.stride(2) == x.size(3); }

/// Some keys of one KV head.
struct Span {
  int64_t head;  ///< counted over all sequences
  int64_t first;
  int64_t count;
};

struct Spans {
  int64_t group_size;
  int64_t head_dim;
  std::vector<Span> all;
  std::vector<int64_t> first;  ///< of each KV head among all, and behind the last one

  int64_t sums() const { return group_size * (head_dim + 2); }  ///< floats of one span
  kernels::SpanSums at(float* data, int64_t span) const {
    float* out = data + span * sums();
    return {out, out + group_size * head_dim, out + group_size * (head_dim + 1)};
  }
};

Spans spans_of(const Tensor& q, const Tensor& k, std::span<const int64_t> lengths, int64_t window) {
  Spans spans{q.size(1) / k.size(1), q.size(3), {}, {0}};
  const int64_t n_kv_heads = k.size(1);
  for (int64_t head = 0; head < k.size(0) * n_kv_heads; ++head) {
    const int64_t length = lengths[static_cast<size_t>(head / n_kv_heads)];
    for (int64_t key = window > 0 ? std::max<int64_t>(0, length - window) : 0; key < length;
         key += kernels::kMaxKeys) {
      spans.all.push_back({head, key, std::min(kernels::kMaxKeys, length - key)});
    }
    spans.first.push_back(static_cast<int64_t>(spans.all.size()));
  }
  return spans;
}

/// Queries in float32 times the scale of the scores, [batch, n_heads, head_dim].
Tensor scaled_queries(const Tensor& q) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  return q.to(at::kFloat).mul(scale).contiguous();
}

/// A cache's keys or values in plain numbers, for use by several threads.
template <typename T>
struct CacheRows {
  explicit CacheRows(const Tensor& x)
      : data(kernels::data<T>(x)), batch(x.stride(0)), head(x.stride(1)), n_heads(x.size(1)) {}
  /// The first row of KV head i, counted over all sequences.
  const T* of(int64_t i) const { return data + i / n_heads * batch + i % n_heads * head; }

  const T* data;
  int64_t batch;
  int64_t head;
  int64_t n_heads;
};

/// out [head_dim] of query head `g` of a KV head from the sums of its spans.
void join(const Spans& s, int64_t head, float* sums, int64_t g, float* out) {
  const int64_t begin = s.first[static_cast<size_t>(head)];
  const int64_t end = s.first[static_cast<size_t>(head + 1)];
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = begin; i < end; ++i) max = std::max(max, s.at(sums, i).max[g]);
  std::fill_n(out, s.head_dim, 0.0f);
  float total = 0;
  for (int64_t i = begin; i < end; ++i) {
    const kernels::SpanSums part = s.at(sums, i);
    const float share = std::exp(part.max[g] - max);
    total += share * part.sum[g];
    const float* from = part.out + g * s.head_dim;
    for (int64_t c = 0; c < s.head_dim; ++c) out[c] += share * from[c];
  }
  for (int64_t c = 0; c < s.head_dim; ++c) out[c] /= total;
}

/// The sums of every span, [spans, sums()].
template <typename T>
void attend_spans(const Spans& s, const Tensor& queries, const CacheRows<T>& k,
                  const CacheRows<T>& v, float* sums) {
  const float* q = queries.data_ptr<float>();
  const int64_t work = s.group_size * s.head_dim * kernels::kMaxKeys * 2;
  const int64_t grain = std::max<int64_t>(1, kWorkOfAThread / work);
  at::parallel_for(0, static_cast<int64_t>(s.all.size()), grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const Span& place = s.all[static_cast<size_t>(i)];
      const kernels::KeySpan<T> span{.q = q + place.head * s.group_size * s.head_dim,
                                     .k = k.of(place.head) + place.first * s.head_dim,
                                     .v = v.of(place.head) + place.first * s.head_dim,
                                     .count = place.count,
                                     .group_size = s.group_size,
                                     .head_dim = s.head_dim};
      kernels::attend_span(span, s.at(sums, i));
    }
  });
}

}  // namespace

bool takes_few_rows(const Tensor& x, const Tensor& weight) {
  const int64_t in = x.size(-1);
  return kernels::has_kernel(x) && !c10::GradMode::is_enabled() && weight.is_contiguous() &&
         x.scalar_type() == weight.scalar_type() && in > 0 && x.numel() <= kMaxRows * in;
}

Tensor project_few(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const Tensor y = at::empty(shape, x.options());
  const Tensor wide = x.to(at::kFloat).contiguous();
  const int64_t in = weight.size(1);
  const int64_t grain = std::max<int64_t>(1, kWorkOfAThread / in);
  with_type(x, [&]<typename T>(T*) {
    const kernels::MatVec<T> m{.weight = data<T>(weight),
                               .bias = data<T>(bias),
                               .x = wide.data_ptr<float>(),
                               .y = data<T>(y),
                               .rows = x.numel() / in,
                               .in = in,
                               .out = weight.size(0)};
    at::parallel_for(0, m.out, grain,
                     [&](int64_t begin, int64_t end) { kernels::matvec(m, begin, end); });
  });
  return y;
}

bool takes_decode_attention(const Tensor& q, const Tensor& k) {
  return kernels::has_kernel(q) && !c10::GradMode::is_enabled() && q.size(2) == 1 &&
         has_dense_keys(k);
}

Tensor decode_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        std::span<const int64_t> lengths, int64_t window) {
  const int64_t batch = q.size(0);
  const Spans s = spans_of(q, k, lengths, window);
  const Tensor queries = scaled_queries(q);
  const Tensor out = at::empty({batch, 1, q.size(1) * s.head_dim}, queries.options());
  std::vector<float> sums(s.all.size() * static_cast<size_t>(s.sums()));
  with_type(q, [&]<typename T>(T*) {
    attend_spans<T>(s, queries, CacheRows<T>(k), CacheRows<T>(v), sums.data());
  });
  float* mixed = out.data_ptr<float>();
  for (int64_t h = 0; h < batch * q.size(1); ++h) {
    join(s, h / s.group_size, sums.data(), h % s.group_size, mixed + h * s.head_dim);
  }
  return out.to(q.scalar_type());
}

}  // namespace regroup
