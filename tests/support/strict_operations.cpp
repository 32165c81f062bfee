// The strict device's operations: every one is the CPU's, on the same bytes.
#include <ATen/EmptyTensor.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/ops/_local_scalar_dense_cpu_dispatch.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <mutex>

#include "support/strict_device.h"
#include "support/strict_memory.h"

namespace regroup::testing {
namespace {

using at::Tensor;

constexpr c10::DispatchKeySet kKeys(c10::DispatchKey::PrivateUse1);

// ---- waits ----

std::mutex waits_mutex;
std::vector<std::string> waits;

void note_wait(const std::string& what) {
  const std::lock_guard lock(waits_mutex);
  waits.push_back(what);
}

bool is_strict(const Tensor& t) { return t.defined() && t.is_privateuseone(); }

void* block_of(const Tensor& t) { return t.storage().mutable_data_ptr().get(); }

/// A CPU tensor over the same bytes; where there are none yet, one that may grow.
Tensor host_view(const Tensor& t) {
  if (t.storage().nbytes() == 0) return at::empty(t.sizes(), t.options().device(at::kCPU));
  const c10::Storage storage(c10::Storage::use_byte_size_t(), t.storage().nbytes(),
                             c10::DataPtr(block_of(t), c10::kCPU), nullptr, /*resizable=*/false);
  auto view = at::detail::make_tensor<c10::TensorImpl>(
      c10::Storage(storage), c10::DispatchKeySet(c10::DispatchKey::CPU), t.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(t.sizes(), t.strides(), t.storage_offset());
  view._set_conj(t.is_conj());
  view._set_neg(t.is_neg());
  return view;
}

/// A tensor of the strict device that looks like `like` in the memory of `base`.
Tensor strict_view(const Tensor& base, const Tensor& like) {
  auto view = at::detail::make_tensor<c10::TensorImpl>(
      c10::TensorImpl::VIEW, c10::Storage(base.storage()), base.key_set(), like.dtype());
  view.unsafeGetTensorImpl()->set_sizes_and_strides(like.sizes(), like.strides(),
                                                    like.storage_offset());
  return view;
}

/// A CPU result in memory of the strict device.
Tensor moved_in(const Tensor& host) {
  const Tensor plain = host.resolve_conj().resolve_neg();
  const Tensor strict =
      at::empty_like(plain, plain.options().device(strict_device()), at::MemoryFormat::Preserve);
  const OpenBlocks open({block_of(strict)});
  host_view(strict).copy_(plain);
  return strict;
}

/// Only results that nobody has filled yet change their size.
const Tensor& resize(const Tensor& self, at::IntArrayRef size, std::optional<at::MemoryFormat>) {
  const size_t bytes =
      at::detail::computeStorageNbytesContiguous(size, self.itemsize(), self.storage_offset());
  if (bytes > self.storage().nbytes()) {
    TORCH_CHECK(self.storage().nbytes() == 0, "strict device: only an empty tensor may grow");
    self.storage().set_data_ptr(strict_allocator()->allocate(bytes));
    self.storage().set_nbytes(bytes);
  }
  self.unsafeGetTensorImpl()->set_sizes_contiguous(size);
  return self;
}

/// `strict` after its operation: one that was empty takes over what the host has made.
const Tensor& grown(const Tensor& strict, const Tensor& host) {
  if (strict.storage().nbytes() > 0 || host.numel() == 0) return strict;
  resize(strict, host.sizes(), std::nullopt);
  const OpenBlocks open({block_of(strict)});
  host_view(strict).copy_(host);
  return strict;
}

/// Operands of one call, lowered to the host; results, lifted to the device again.
class Lowered {
 public:
  explicit Lowered(const c10::OperatorHandle& op) : name_(c10::toString(op.operator_name())) {}

  c10::IValue lower(const c10::IValue& value) {
    if (value.isTensor()) return lower(value.toTensor());
    if (value.isTensorList()) {
      c10::List<Tensor> lowered;
      for (const Tensor& t : value.toTensorVector()) lowered.push_back(lower(t));
      return lowered;
    }
    if (value.isOptionalTensorList()) {
      c10::List<std::optional<Tensor>> lowered;
      for (const std::optional<Tensor>& t : value.toOptionalTensorVector()) {
        lowered.push_back(t ? std::optional(lower(*t)) : std::nullopt);
      }
      return lowered;
    }
    return value.isDevice() ? c10::IValue(c10::Device(c10::kCPU)) : value;
  }

  c10::IValue lift(const c10::IValue& value) {
    if (value.isTensor()) return lift(value.toTensor());
    if (value.isTensorList()) {
      c10::List<Tensor> lifted;
      for (const Tensor& t : value.toTensorVector()) lifted.push_back(lift(t));
      return lifted;
    }
    if (!value.isNone()) note_wait(name_);  // a number or a bool, as of equal()
    return value;
  }

  std::vector<void*> blocks() const {
    std::vector<void*> all;
    for (const auto& [strict, host] : operands_) all.push_back(block_of(strict));
    return all;
  }

 private:
  Tensor lower(const Tensor& t) {
    if (!t.defined()) return t;
    TORCH_CHECK(is_strict(t) || (t.is_cpu() && t.dim() == 0), name_,
                ": expected all tensors to be on the strict device, found one on ", t.device());
    if (!is_strict(t)) return t;
    operands_.emplace_back(t, host_view(t));
    return operands_.back().second;
  }

  Tensor lift(const Tensor& t) {
    if (!t.defined()) return t;
    for (const auto& [strict, host] : operands_) {
      if (t.is_same(host)) return grown(strict, host);
    }
    for (const auto& [strict, host] : operands_) {
      const void* block = block_of(strict);
      if (block != nullptr && t.storage().data() == block) return strict_view(strict, t);
    }
    return moved_in(t);
  }

  std::string name_;
  std::vector<std::pair<Tensor, Tensor>> operands_;
};

/// Results whose size the host has to learn.
bool sizes_depend_on_values(const std::string& name) {
  for (const char* one : {"aten::nonzero", "aten::masked_select", "aten::_unique2"}) {
    if (name.starts_with(one)) return true;
  }
  return false;
}

void run_on_host(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  Lowered lowered(op);
  const size_t n_arguments = op.schema().arguments().size();
  for (size_t i = stack->size() - n_arguments; i < stack->size(); ++i) {
    (*stack)[i] = lowered.lower((*stack)[i]);
  }
  {
    const OpenBlocks open(lowered.blocks());
    try {
      op.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    } catch (c10::Error& error) {
      error.add_context("on the strict device: " + c10::toString(op.operator_name()));
      throw;
    }
  }
  const size_t n_returns = op.schema().returns().size();
  for (size_t i = stack->size() - n_returns; i < stack->size(); ++i) {
    (*stack)[i] = lowered.lift((*stack)[i]);
  }
  if (sizes_depend_on_values(op.operator_name().name)) note_wait(op.operator_name().name);
}

// ---- memory ----

Tensor empty_memory(at::IntArrayRef size, std::optional<at::ScalarType> dtype,
                    std::optional<at::Layout>, std::optional<at::Device>, std::optional<bool>,
                    std::optional<at::MemoryFormat> format) {
  return at::detail::empty_generic(size, strict_allocator(), kKeys, c10::dtype_or_default(dtype),
                                   format);
}

Tensor empty_strided(at::IntArrayRef size, at::IntArrayRef stride,
                     std::optional<at::ScalarType> dtype, std::optional<at::Layout>,
                     std::optional<at::Device>, std::optional<bool>) {
  return at::detail::empty_strided_generic(size, stride, strict_allocator(), kKeys,
                                           c10::dtype_or_default(dtype));
}

Tensor copy_from(const Tensor& self, const Tensor& to, bool non_blocking) {
  if (!is_strict(to)) note_wait("copy to the host");
  if (!is_strict(self) && !(non_blocking && self.is_pinned())) note_wait("copy from host memory");
  std::vector<void*> blocks;
  const auto view = [&](const Tensor& t) {
    if (!is_strict(t)) return t;
    blocks.push_back(block_of(t));
    return host_view(t);
  };
  const Tensor source = view(self);
  const Tensor target = view(to);
  const OpenBlocks open(blocks);
  target.copy_(source);
  return to;
}

Tensor copy_from_and_resize(const Tensor& self, const Tensor& to) {
  resize(to, self.sizes(), std::nullopt);
  return copy_from(self, to, false);
}

at::Scalar local_scalar(const Tensor& self) {
  note_wait("item");
  const OpenBlocks open({block_of(self)});
  return at::cpu::_local_scalar_dense(host_view(self));
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&run_on_host>());
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("empty.memory_format", &empty_memory);
  library.impl("empty_strided", &empty_strided);
  library.impl("resize_", &resize);
  library.impl("_copy_from", &copy_from);
  library.impl("_copy_from_and_resize", &copy_from_and_resize);
  library.impl("_local_scalar_dense", &local_scalar);
}

}  // namespace

std::vector<std::string> take_waits() {
  const std::lock_guard lock(waits_mutex);
  return std::exchange(waits, {});
}

}  // namespace regroup::testing
