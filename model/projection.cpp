#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "regroup/model/ops.h"

namespace regroup {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Fewer rows than this are a matter of memory bandwidth, not of kernels.
constexpr int64_t kFewRows = 32;
/// MKL adds the terms of a product one by one: over a vocabulary of 70,000 small gradients and one large
/// it is off by 1e-4, where oneDNN, adding them in blocks, is off by 2e-6.
constexpr int64_t kLongSum = 24576;

/// oneDNN's inner product, an operation that LibTorch registers for its compiler but declares in no
/// header. x [rows, in], weight [out, in] of any strides.
Tensor onednn_linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  using Signature =
      Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&, c10::string_view,
             c10::List<std::optional<at::Scalar>>, std::optional<c10::string_view>);
  static const auto operation = c10::Dispatcher::singleton()
                                    .findSchemaOrThrow("mkldnn::_linear_pointwise", "")
                                    .typed<Signature>();
  return operation.call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

struct Projection : torch::autograd::Function<Projection> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["x"] = x.requires_grad();
    ctx->saved_data["weight"] = weight.requires_grad();
    ctx->saved_data["bias"] = bias.has_value() && bias->requires_grad();
    return onednn_linear(x, weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor dy = grads[0].contiguous();  // [rows, out]
    variable_list out(3);
    if (ctx->saved_data["x"].toBool()) out[0] = onednn_linear(dy, saved[1].t(), std::nullopt);
    // Long sums over rows are what MKL does well.
    if (ctx->saved_data["weight"].toBool()) out[1] = at::mm(dy.t(), saved[0]);
    if (ctx->saved_data["bias"].toBool()) out[2] = at::sum(dy, 0);
    return out;
  }
};

}  // namespace

Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const std::optional<Tensor> optional_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  const int64_t rows = x.numel() / std::max<int64_t>(1, x.size(-1));
  const bool small = rows < kFewRows && x.size(-1) < kLongSum;
  if (!x.is_cpu() || x.scalar_type() != at::kFloat || small) {
    return at::linear(x, weight, optional_bias);
  }
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const Tensor flat = x.reshape({rows, x.size(-1)});
  const Tensor y = c10::GradMode::is_enabled() ? Projection::apply(flat, weight, optional_bias)
                                               : onednn_linear(flat, weight, optional_bias);
  return y.view(shape);
}

}  // namespace regroup
