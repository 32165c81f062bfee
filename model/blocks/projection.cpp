#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/function_schema.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "decoding/decode.h"
#include "regroup/model/ops.h"
#include "regroup/model/simd.h"

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

using LinearPointwise = Tensor(const Tensor&, const Tensor&, const std::optional<Tensor>&,
                               c10::string_view, c10::List<std::optional<at::Scalar>>,
                               std::optional<c10::string_view>);
using Operation = c10::TypedOperatorHandle<LinearPointwise>;

/// oneDNN's inner product, which LibTorch registers for its compiler and declares in no header: only the one that
/// we know is used.
std::optional<Operation> find_linear_pointwise() {
  constexpr const char* kKnown =
      "mkldnn::_linear_pointwise(Tensor X, Tensor W, Tensor? B, str attr, Scalar?[] scalars, str? "
      "algorithm) -> "
      "Tensor Y";
  const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
  if (!found || !found->hasKernelForDispatchKey(c10::DispatchKey::CPU)) return std::nullopt;
  if (c10::toString(found->schema()) != kKnown) return std::nullopt;
  return found->typed<LinearPointwise>();
}

/// x [rows, in], weight [out, in] of any strides, both float32. On gradients of inputs oneDNN is a tenth faster than
/// MKL.
Tensor float_linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  static const std::optional<Operation> operation = find_linear_pointwise();
  if (!operation) return at::linear(x, weight, bias);
  return operation->call(x, weight, bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

Tensor widened(const Tensor& x) { return x.to(at::kFloat); }

Tensor wide_linear(const Tensor& x, const Tensor& weight, const std::optional<Tensor>& bias) {
  const auto wide_bias = bias ? std::optional(widened(*bias)) : std::nullopt;
  return float_linear(widened(x), widened(weight), wide_bias).to(x.scalar_type());
}

/// Products in float32, whatever x and weight are kept in.
struct Projection : torch::autograd::Function<Projection> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight,
                        const std::optional<Tensor>& bias) {
    ctx->save_for_backward({x, weight});
    ctx->saved_data["x"] = x.requires_grad();
    ctx->saved_data["weight"] = weight.requires_grad();
    ctx->saved_data["bias"] = bias.has_value() && bias->requires_grad();
    return wide_linear(x, weight, bias);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::ScalarType dtype = saved[0].scalar_type();
    const Tensor dy = widened(grads[0].contiguous());  // [rows, out]
    variable_list out(3);
    if (ctx->saved_data["x"].toBool()) {
      out[0] = float_linear(dy, widened(saved[1]).t(), std::nullopt).to(dtype);
    }
    // Long sums over rows are what MKL does well.
    if (ctx->saved_data["weight"].toBool()) {
      out[1] = at::mm(dy.t(), widened(saved[0])).to(dtype);
    }
    if (ctx->saved_data["bias"].toBool()) out[2] = at::sum(dy, 0).to(dtype);
    return out;
  }
};

}  // namespace

bool multiplied_in_float(at::ScalarType dtype) {
  return dtype == at::kFloat || dtype == at::kHalf ||
         (dtype == at::kBFloat16 && !simd_multiplies_bf16());
}

Tensor project(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (takes_few_rows(x, weight)) return project_few(x, weight, bias);
  const std::optional<Tensor> optional_bias = bias.defined() ? std::optional(bias) : std::nullopt;
  const int64_t rows = x.numel() / std::max<int64_t>(1, x.size(-1));
  const bool small = rows < kFewRows && x.size(-1) < kLongSum;
  if (!x.is_cpu() || !multiplied_in_float(x.scalar_type()) || small) {
    return at::linear(x, weight, optional_bias);
  }
  auto shape = x.sizes().vec();
  shape.back() = weight.size(0);
  const Tensor flat = x.reshape({rows, x.size(-1)});
  const Tensor y = c10::GradMode::is_enabled() ? Projection::apply(flat, weight, optional_bias)
                                               : wide_linear(flat, weight, optional_bias);
  return y.view(shape);
}

}  // namespace regroup
