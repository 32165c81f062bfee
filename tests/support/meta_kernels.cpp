// Meta kernels that LibTorch registers from Python alone: the CPU computes on zeros, and its results' shapes
// and dtypes are taken.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

namespace regroup::testing {
namespace {

using at::Tensor;

Tensor zeros_for(const c10::OperatorHandle& op, const Tensor& t) {
  if (!t.defined() || (t.is_cpu() && t.dim() == 0)) return t;
  TORCH_CHECK(t.is_meta(), op.operator_name().name, ": expected all tensors on meta, found one on ",
              t.device());
  return at::zeros(t.sizes(), t.options().device(at::kCPU));
}

Tensor shape_of(const Tensor& host) {
  return host.defined() ? at::empty_like(host, host.options().device(at::kMeta)) : host;
}

template <typename Convert>
c10::IValue each_tensor(const c10::IValue& value, const Convert& convert) {
  if (value.isTensor()) return convert(value.toTensor());
  if (!value.isTensorList()) return value;
  c10::List<Tensor> converted;
  for (const Tensor& t : value.toTensorVector()) converted.push_back(convert(t));
  return converted;
}

void by_computing(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const size_t first = stack->size() - op.schema().arguments().size();
  for (size_t i = first; i < stack->size(); ++i) {
    (*stack)[i] = each_tensor((*stack)[i], [&](const Tensor& t) { return zeros_for(op, t); });
  }
  op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
  for (size_t i = first; i < stack->size(); ++i) {
    (*stack)[i] = each_tensor((*stack)[i], shape_of);
  }
}

TORCH_LIBRARY_IMPL(aten, Meta, library) {
  for (const char* name : {"index_select", "where.self", "where.self_out", "logical_and",
                           "logical_and.out", "logical_or", "logical_or.out", "logical_not",
                           "logical_not.out", "abs", "abs.out", "embedding_dense_backward",
                           "_fused_adamw_", "native_layer_norm", "native_layer_norm_backward"}) {
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&by_computing>());
  }
}

}  // namespace
}  // namespace regroup::testing
