#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

#include "kernels/attention_kernels.h"
#include "kernels/kernel_types.h"
#include "regroup/model/ops.h"

namespace regroup {
namespace {

using at::Tensor;
using kernels::AttentionShape;
using kernels::HeadRows;
using kernels::with_type;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

AttentionShape shape_of(const Tensor& q, const Tensor& k, int64_t window) {
  return {.seq = q.size(2),
          .head_dim = q.size(3),
          .group_size = q.size(1) / k.size(1),
          .window = window,
          .scale = 1.0f / std::sqrt(static_cast<float>(q.size(3)))};
}

/// The heads [head, ...) of one sequence in x [batch, heads, seq, head_dim].
template <typename T>
HeadRows<T> rows_of(const Tensor& x, int64_t batch, int64_t head) {
  using Plain = std::remove_const_t<T>;
  return {static_cast<Plain*>(x.data_ptr()) + batch * x.stride(0) + head * x.stride(1), x.stride(1),
          x.stride(2)};
}

/// Calls body(batch, kv_head, scratch) for every KV head of every sequence, on all cores.
template <typename Body>
void for_each_kv_head(const Tensor& k, const AttentionShape& shape, const Body& body) {
  const int64_t n_kv_heads = k.size(1);
  at::parallel_for(0, k.size(0) * n_kv_heads, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(static_cast<size_t>(kernels::attention_scratch(shape)));
    for (int64_t i = begin; i < end; ++i) body(i / n_kv_heads, i % n_kv_heads, scratch.data());
  });
}

Tensor with_dense_rows(const Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

/// [batch, heads, seq, head_dim] over memory in the order [batch, seq, heads, head_dim].
Tensor empty_heads(const Tensor& like) {
  return at::empty({like.size(0), like.size(2), like.size(1), like.size(3)}, like.options())
      .transpose(1, 2);
}

struct Attended {
  Tensor out;  // [batch, n_heads, seq, head_dim]
  Tensor lse;  // [batch, n_heads, seq]
};

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window) {
  const AttentionShape shape = shape_of(q, k, window);
  Attended result{empty_heads(q),
                  at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat))};
  float* lse = result.lse.data_ptr<float>();
  with_type(q, [&]<typename T>(T*) {
    for_each_kv_head(k, shape, [&](int64_t batch, int64_t head, float* scratch) {
      const int64_t first = head * shape.group_size;
      kernels::attention_forward(shape, rows_of<const T>(q, batch, first),
                                 rows_of<const T>(k, batch, head), rows_of<const T>(v, batch, head),
                                 rows_of<T>(result.out, batch, first),
                                 lse + (batch * q.size(1) + first) * shape.seq, scratch);
    });
  });
  return result;
}

struct CausalAttention : torch::autograd::Function<CausalAttention> {
  static Tensor forward(AutogradContext* ctx, const Tensor& q, const Tensor& k, const Tensor& v,
                        int64_t window) {
    const Attended result = attend(q, k, v, window);
    ctx->save_for_backward({q, k, v, result.out, result.lse});
    ctx->saved_data["window"] = window;
    return result.out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor& q = saved[0];
    const Tensor& k = saved[1];
    const Tensor& v = saved[2];
    const Tensor& out = saved[3];
    const AttentionShape shape = shape_of(q, k, ctx->saved_data["window"].toInt());
    const Tensor dout = with_dense_rows(grads[0]);
    const Tensor dq = empty_heads(q);
    const Tensor dk = empty_heads(k);
    const Tensor dv = empty_heads(v);
    const float* lse = saved[4].data_ptr<float>();
    with_type(q, [&]<typename T>(T*) {
      for_each_kv_head(k, shape, [&](int64_t batch, int64_t head, float* scratch) {
        const int64_t first = head * shape.group_size;
        kernels::attention_backward(
            shape, rows_of<const T>(q, batch, first), rows_of<const T>(k, batch, head),
            rows_of<const T>(v, batch, head), rows_of<const T>(out, batch, first),
            rows_of<const T>(dout, batch, first), lse + (batch * q.size(1) + first) * shape.seq,
            rows_of<T>(dq, batch, first), rows_of<T>(dk, batch, head), rows_of<T>(dv, batch, head),
            scratch);
      });
    });
    return {dq, dk, dv, {}};
  }
};

/// [seq, seq] bool: what each query sees through a window.
Tensor window_mask(int64_t seq, int64_t window, at::Device device) {
  const Tensor at_position = at::arange(seq, at::TensorOptions().dtype(at::kLong).device(device));
  const Tensor back = at_position.unsqueeze(1).sub(at_position.unsqueeze(0));
  return back.ge(0).logical_and(back.lt(window));
}

Tensor composite_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window) {
  const bool windowed = window > 0 && window < q.size(2);
  const auto mask = windowed ? std::optional(window_mask(q.size(2), window, q.device()))
                             : std::optional<Tensor>();
  return at::scaled_dot_product_attention(q, k, v, mask, /*dropout_p=*/0.0, /*is_causal=*/!windowed,
                                          /*scale=*/std::nullopt,
                                          /*enable_gqa=*/q.size(1) != k.size(1));
}

}  // namespace

Tensor causal_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window) {
  Tensor mixed;  // [batch, n_heads, seq, head_dim]
  if (!kernels::has_kernel(q)) {
    mixed = composite_attention(q, k, v, window);
  } else if (c10::GradMode::is_enabled()) {
    mixed =
        CausalAttention::apply(with_dense_rows(q), with_dense_rows(k), with_dense_rows(v), window);
  } else {
    mixed = attend(with_dense_rows(q), with_dense_rows(k), with_dense_rows(v), window).out;
  }
  return mixed.transpose(1, 2).flatten(2);
}

}  // namespace regroup
