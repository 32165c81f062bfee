#include "regroup/model/ops.h"

#include <ATen/Parallel.h>
#include <ATen/ops/add.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/layer_norm.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <array>
#include <optional>

#include "kernels/kernel_types.h"
#include "kernels/kernels.h"

namespace regroup {
namespace {

using at::Tensor;
using kernels::data;
using kernels::has_kernel;
using kernels::with_type;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Rows per task such that a task touches about 64 KiB.
int64_t grain(int64_t row_elements) {
  return std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, row_elements));
}

// ---- rms_norm ----

struct NormOutputs {
  Tensor sum;
  Tensor y;
  Tensor rstd;
};

NormOutputs norm_forward(const Tensor& x, const Tensor& delta, const Tensor& weight, double eps) {
  const int64_t d = x.size(-1);
  const int64_t rows = x.numel() / d;
  NormOutputs out;
  out.sum = delta.defined() ? at::empty_like(x) : Tensor();
  out.y = at::empty_like(x);
  out.rstd = at::empty({rows}, x.options().dtype(at::kFloat));
  with_type(x, [&]<typename T>(T*) {
    at::parallel_for(0, rows, grain(d), [&](int64_t begin, int64_t end) {
      kernels::rms_norm_forward(data<T>(x), data<T>(delta), data<T>(weight), data<T>(out.sum),
                                data<T>(out.y), out.rstd.data_ptr<float>(), begin, end, d,
                                static_cast<float>(eps));
    });
  });
  return out;
}

struct NormGradients {
  Tensor dx;
  Tensor dweight;
};

NormGradients norm_backward(const Tensor& x, const Tensor& weight, const Tensor& rstd,
                            const Tensor& dy_in, const Tensor& dsum_in, bool needs_weight) {
  const int64_t d = x.size(-1);
  const int64_t rows = x.numel() / d;
  const Tensor dy = dy_in.contiguous();
  const Tensor dsum = dsum_in.defined() ? dsum_in.contiguous() : dsum_in;
  NormGradients out;
  out.dx = at::empty_like(x);
  // A fixed number of row blocks, each with a sum of its own: the result does not depend on how many
  // threads shared the work.
  const int64_t block = std::max<int64_t>(64, (rows + 63) / 64);
  const int64_t blocks = (rows + block - 1) / block;
  Tensor partial;
  if (needs_weight) partial = at::zeros({blocks, d}, x.options().dtype(at::kFloat));
  with_type(x, [&]<typename T>(T*) {
    at::parallel_for(0, blocks, 1, [&](int64_t first, int64_t last) {
      for (int64_t b = first; b < last; ++b) {
        float* dweight = needs_weight ? partial.data_ptr<float>() + b * d : nullptr;
        kernels::rms_norm_backward(data<T>(x), data<T>(weight), rstd.data_ptr<float>(), data<T>(dy),
                                   data<T>(dsum), data<T>(out.dx), dweight, b * block,
                                   std::min(rows, (b + 1) * block), d);
      }
    });
  });
  if (needs_weight) out.dweight = at::sum(partial, 0).to(weight.scalar_type());
  return out;
}

struct RmsNorm : torch::autograd::Function<RmsNorm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, double eps) {
    NormOutputs out = norm_forward(x, {}, weight, eps);
    ctx->save_for_backward({x, weight, out.rstd});
    ctx->saved_data["weight"] = weight.requires_grad();
    return out.y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const NormGradients g = norm_backward(saved[0], saved[1], saved[2], grads[0], {},
                                          ctx->saved_data["weight"].toBool());
    return {g.dx, g.dweight, {}};
  }
};

struct AddRmsNorm : torch::autograd::Function<AddRmsNorm> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& delta,
                               const Tensor& weight, double eps) {
    NormOutputs out = norm_forward(x, delta, weight, eps);
    ctx->save_for_backward({out.sum, weight, out.rstd});
    ctx->saved_data["weight"] = weight.requires_grad();
    return {out.sum, out.y};
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    if (!grads[1].defined()) return {grads[0], grads[0], {}, {}};
    const NormGradients g = norm_backward(saved[0], saved[1], saved[2], grads[1], grads[0],
                                          ctx->saved_data["weight"].toBool());
    return {g.dx, g.dx, g.dweight, {}};
  }
};

Tensor composite_rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  const Tensor wide = x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
  const Tensor rstd = at::rsqrt(wide.square().mean(-1, /*keepdim=*/true).add(eps));
  return (wide.mul(rstd)).mul(weight.to(wide.scalar_type())).to(x.scalar_type());
}

// ---- swiglu ----

Tensor swiglu_forward(const Tensor& gate_up) {
  const int64_t f = gate_up.size(-1) / 2;
  const int64_t rows = gate_up.numel() / (2 * f);
  auto shape = gate_up.sizes().vec();
  shape.back() = f;
  const Tensor y = at::empty(shape, gate_up.options());
  with_type(gate_up, [&]<typename T>(T*) {
    at::parallel_for(0, rows, grain(f), [&](int64_t begin, int64_t end) {
      kernels::swiglu_forward(data<T>(gate_up), data<T>(y), begin, end, f);
    });
  });
  return y;
}

struct SwiGlu : torch::autograd::Function<SwiGlu> {
  static Tensor forward(AutogradContext* ctx, const Tensor& gate_up) {
    ctx->save_for_backward({gate_up});
    return swiglu_forward(gate_up);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const Tensor gate_up = ctx->get_saved_variables()[0];
    const Tensor dy = grads[0].contiguous();
    const int64_t f = gate_up.size(-1) / 2;
    const int64_t rows = gate_up.numel() / (2 * f);
    const Tensor dgate_up = at::empty_like(gate_up);
    with_type(gate_up, [&]<typename T>(T*) {
      at::parallel_for(0, rows, grain(f), [&](int64_t begin, int64_t end) {
        kernels::swiglu_backward(data<T>(gate_up), data<T>(dy), data<T>(dgate_up), begin, end, f);
      });
    });
    return {dgate_up};
  }
};

// ---- split_rope ----

struct HeadCounts {
  int64_t q;
  int64_t kv;
  int64_t dim;
};

/// Views of the three parts of a fused [batch, seq, row] tensor as [batch, heads, seq, head_dim].
variable_list head_views(const Tensor& fused, const HeadCounts& n) {
  const auto part = [&](int64_t first, int64_t heads) {
    return fused.narrow(-1, first * n.dim, heads * n.dim)
        .unflatten(-1, {heads, n.dim})
        .transpose(1, 2);
  };
  return {part(0, n.q), part(n.q, n.kv), part(n.q + n.kv, n.kv)};
}

/// Queries, keys and values [batch, heads, seq, head_dim] of any strides but the last, the first two turned by
/// sign times their angles, into one tensor [batch, seq, row].
template <typename T>
void rotate_parts(const variable_list& parts, const RopeTable& table, float sign,
                  const Tensor& fused) {
  struct Rows {
    const T* data;
    int64_t batch, head, token;  // strides
    int64_t heads, half;
  };
  const int64_t half = table.cos.size(1);
  std::array<Rows, 3> in;
  for (size_t i = 0; i < in.size(); ++i) {
    const Tensor& p = parts[i];
    in[i] = {data<T>(p), p.stride(0), p.stride(1), p.stride(2), p.size(1), i < 2 ? half : 0};
  }
  const int64_t dim = parts[0].size(3);
  const int64_t seq = fused.size(1);
  const int64_t row_size = fused.size(2);
  T* const out = data<T>(fused);
  const float* cos = table.cos.data_ptr<float>();
  const float* sin = table.sin.data_ptr<float>();
  at::parallel_for(0, fused.size(0) * seq, grain(row_size), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t token = row % seq;
      T* to = out + row * row_size;
      for (const Rows& r : in) {
        kernels::rope_row(r.data + row / seq * r.batch + token * r.token, r.head, to,
                          cos + token * half, sin + token * half, sign, r.heads, dim, r.half);
        to += r.heads * dim;
      }
    }
  });
}

variable_list split_rope_forward(const Tensor& qkv, const RopeTable& table, const HeadCounts& n) {
  const Tensor out = at::empty_like(qkv);
  with_type(qkv, [&]<typename T>(T*) { rotate_parts<T>(head_views(qkv, n), table, 1.0f, out); });
  return head_views(out, n);
}

struct SplitRope : torch::autograd::Function<SplitRope> {
  static variable_list forward(AutogradContext* ctx, const Tensor& qkv, const Tensor& cos,
                               const Tensor& sin, int64_t n_heads, int64_t n_kv_heads,
                               int64_t head_dim) {
    ctx->save_for_backward({cos, sin});
    return split_rope_forward(qkv, {cos, sin}, {n_heads, n_kv_heads, head_dim});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    variable_list parts;
    int64_t heads = 0;
    for (const Tensor& g : grads) {
      parts.push_back(g.stride(3) == 1 ? g : g.contiguous());
      heads += g.size(1);
    }
    const Tensor& q = parts[0];
    const Tensor fused = at::empty({q.size(0), q.size(2), heads * q.size(3)}, q.options());
    with_type(fused, [&]<typename T>(T*) {
      rotate_parts<T>(parts, {saved[0], saved[1]}, -1.0f, fused);
    });
    return {fused, {}, {}, {}, {}, {}};
  }
};

/// x [batch, heads, seq, dim] turned by its positions.
Tensor composite_rotate(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const int64_t half = cos.size(-1);
  const Tensor a = x.narrow(-1, 0, half);
  const Tensor b = x.narrow(-1, half, half);
  const Tensor rest = x.narrow(-1, 2 * half, x.size(-1) - 2 * half);
  return at::cat({a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin)), rest}, -1);
}

}  // namespace

// Where no gradient is wanted, no node is made: of a single token it would cost as much as the arithmetic.

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  if (!has_kernel(x)) return composite_rms_norm(x, weight, eps);
  if (!c10::GradMode::is_enabled()) {
    return norm_forward(x.contiguous(), {}, weight.contiguous(), eps).y;
  }
  return RmsNorm::apply(x.contiguous(), weight.contiguous(), eps);
}

Tensor NormWeights::gains() const {
  const Tensor wide = weight.scalar_type() == at::kDouble ? weight : weight.to(at::kFloat);
  return kind == Norm::kRmsOffset ? wide.add(1) : wide;
}

Tensor norm(const Tensor& x, const NormWeights& weights, double eps) {
  if (!weights.normalises()) return x;
  if (weights.kind == Norm::kRmsOffset) {
    // 1 + weight has no room in 16 bits.
    const Tensor gains = weights.gains();
    return gains.scalar_type() == x.scalar_type() ? rms_norm(x, gains, eps)
                                                  : composite_rms_norm(x, gains, eps);
  }
  if (weights.kind == Norm::kRms) return rms_norm(x, weights.weight, eps);
  const at::ScalarType narrow = x.scalar_type();
  const bool plain = !x.is_cpu() || narrow == at::kFloat || narrow == at::kDouble;
  // ATen sums the gradients of narrow weights over tokens in their own type.
  const auto wide = [&](const Tensor& t) {
    return !t.defined() ? std::optional<Tensor>() : plain ? t : t.to(at::kFloat);
  };
  return at::layer_norm(*wide(x), {x.size(-1)}, wide(weights.weight), wide(weights.bias), eps)
      .to(narrow);
}

std::tuple<Tensor, Tensor> add_norm(const Tensor& x, const Tensor& delta,
                                    const NormWeights& weights, double eps) {
  const bool fused = weights.kind == Norm::kRms && weights.weight.defined();
  if (fused && has_kernel(x)) {
    const Tensor weight = weights.weight.contiguous();
    if (!c10::GradMode::is_enabled()) {
      const NormOutputs out = norm_forward(x.contiguous(), delta.contiguous(), weight, eps);
      return {out.sum, out.y};
    }
    const auto out = AddRmsNorm::apply(x.contiguous(), delta.contiguous(), weight, eps);
    return {out[0], out[1]};
  }
  const Tensor sum = x.add(delta);
  return {sum, norm(sum, weights, eps)};
}

Tensor swiglu(const Tensor& gate_up) {
  if (has_kernel(gate_up)) {
    return c10::GradMode::is_enabled() ? SwiGlu::apply(gate_up.contiguous())
                                       : swiglu_forward(gate_up.contiguous());
  }
  const auto parts = gate_up.chunk(2, -1);
  return at::silu(parts[0]).mul(parts[1]);
}

Tensor activated(const Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kSilu:
      return at::silu(x);
    case Activation::kGelu:
      return at::gelu(x, "none");
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
  }
  return x;
}

std::tuple<Tensor, Tensor, Tensor> split_rope(const Tensor& qkv, const RopeTable& table,
                                              int64_t n_heads, int64_t n_kv_heads,
                                              int64_t head_dim) {
  if (has_kernel(qkv)) {
    const Tensor fused = qkv.contiguous();
    const auto out =
        c10::GradMode::is_enabled()
            ? SplitRope::apply(fused, table.cos, table.sin, n_heads, n_kv_heads, head_dim)
            : split_rope_forward(fused, table, {n_heads, n_kv_heads, head_dim});
    return {out[0], out[1], out[2]};
  }
  const variable_list parts = head_views(qkv, {n_heads, n_kv_heads, head_dim});
  const Tensor cos = table.cos.to(qkv.scalar_type());
  const Tensor sin = table.sin.to(qkv.scalar_type());
  return {composite_rotate(parts[0], cos, sin), composite_rotate(parts[1], cos, sin), parts[2]};
}

}  // namespace regroup
