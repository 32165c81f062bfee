#include "decode.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "decode_kernels.h"
#include "kernel_types.h"

namespace regroup {
namespace {

using at::Tensor;
using kernels::data;
using kernels::with_type;

constexpr int64_t kMaxRows = 8;
constexpr int64_t kWorkOfAThread = 32768;  // multiply-adds below which a second thread does not pay

/// A cache's rows: head h of sequence b begins at b * batch + h * head, a key after the other.
bool has_dense_keys(const Tensor& x) { return x.stride(3) == 1 && x.stride(2) == x.size(3); }

struct Spans {
  int64_t first;  ///< key
  int64_t keys;
  int64_t count;
  int64_t group_size;
  int64_t head_dim;
  int64_t sums() const { return group_size * (head_dim + 2); }  ///< floats of one span
  kernels::SpanSums at(float* data) const {
    return {data, data + group_size * head_dim, data + group_size * (head_dim + 1)};
  }
};

Spans spans_of(const Tensor& q, const Tensor& k, int64_t window) {
  const int64_t first = window > 0 ? std::max<int64_t>(0, k.size(2) - window) : 0;
  const int64_t keys = k.size(2) - first;
  return {first, keys, (keys + kernels::kMaxKeys - 1) / kernels::kMaxKeys, q.size(1) / k.size(1),
          q.size(3)};
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

/// out [head_dim] of query head `g` from the sums of its spans.
void join(const Spans& s, float* sums, int64_t g, float* out) {
  float max = -std::numeric_limits<float>::infinity();
  for (int64_t i = 0; i < s.count; ++i) max = std::max(max, s.at(sums + i * s.sums()).max[g]);
  std::fill_n(out, s.head_dim, 0.0f);
  float total = 0;
  for (int64_t i = 0; i < s.count; ++i) {
    const kernels::SpanSums part = s.at(sums + i * s.sums());
    const float share = std::exp(part.max[g] - max);
    total += share * part.sum[g];
    const float* from = part.out + g * s.head_dim;
    for (int64_t c = 0; c < s.head_dim; ++c) out[c] += share * from[c];
  }
  for (int64_t c = 0; c < s.head_dim; ++c) out[c] /= total;
}

/// The sums of every span of every KV head, [batch * n_kv_heads, spans, sums()].
template <typename T>
void attend_spans(const Spans& s, const Tensor& queries, const CacheRows<T>& k,
                  const CacheRows<T>& v, int64_t heads, float* sums) {
  const float* q = queries.data_ptr<float>();
  const int64_t work = s.group_size * s.head_dim * kernels::kMaxKeys * 2;
  const int64_t grain = std::max<int64_t>(1, kWorkOfAThread / work);
  at::parallel_for(0, heads * s.count, grain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t head = i / s.count;
      const int64_t key = s.first + i % s.count * kernels::kMaxKeys;
      const kernels::KeySpan<T> span{.q = q + head * s.group_size * s.head_dim,
                                     .k = k.of(head) + key * s.head_dim,
                                     .v = v.of(head) + key * s.head_dim,
                                     .count = std::min(kernels::kMaxKeys, s.first + s.keys - key),
                                     .group_size = s.group_size,
                                     .head_dim = s.head_dim};
      kernels::attend_span(span, s.at(sums + i * s.sums()));
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

Tensor decode_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window) {
  const int64_t batch = q.size(0);
  const int64_t n_kv_heads = k.size(1);
  const Spans s = spans_of(q, k, window);
  const Tensor queries = scaled_queries(q);
  const Tensor out = at::empty({batch, 1, q.size(1) * s.head_dim}, queries.options());
  std::vector<float> sums(static_cast<size_t>(batch * n_kv_heads * s.count * s.sums()));
  with_type(q, [&]<typename T>(T*) {
    attend_spans<T>(s, queries, CacheRows<T>(k), CacheRows<T>(v), batch * n_kv_heads, sums.data());
  });
  float* mixed = out.data_ptr<float>();
  for (int64_t h = 0; h < batch * q.size(1); ++h) {
    join(s, sums.data() + h / s.group_size * s.count * s.sums(), h % s.group_size,
         mixed + h * s.head_dim);
  }
  return out.to(q.scalar_type());
}

}  // namespace regroup
