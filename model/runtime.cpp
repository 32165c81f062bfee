#include "regroup/model/runtime.h"

#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>
#include <malloc.h>
#include <torch/headeronly/version.h>

#include "cuda_loader.h"
#include "regroup/base/host_memory.h"
#include "regroup/base/human_number.h"
#include "regroup/base/printable.h"
#include "regroup/base/processors.h"
#include "regroup/checkpoint/compute_names.h"
#include "regroup/model/simd.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

/// A device that an extension of LibTorch has registered under `name`.
std::optional<at::Device> extension_device(const std::string& name) {
  constexpr at::DeviceType kExtension = at::DeviceType::PrivateUse1;
  if (!c10::is_privateuse1_backend_registered() || !c10::impl::hasDeviceGuardImpl(kExtension)) {
    return std::nullopt;
  }
  const at::Device device(kExtension, 0);
  const bool named = name == c10::get_privateuse1_backend() || name == device.str();
  return named ? std::optional(device) : std::nullopt;
}

std::optional<int64_t> memory_of(at::Device device) {
  if (device.is_cpu()) return host_memory();
  if (!device.is_cuda()) return std::nullopt;
  char name[128] = {};
  int64_t total = 0;
  require_cuda_module().describe(device.index(), name, sizeof(name), &total);
  return total;
}

}  // namespace

void set_threads(int threads) { at::set_num_threads(threads > 0 ? threads : usable_threads()); }

void keep_freed_memory() {
  // glibc maps blocks above 32 MiB anew each time unless told otherwise, and trims the heap's end.
  constexpr int kNever = 1 << 30;
  ::mallopt(M_MMAP_THRESHOLD, kNever);
  ::mallopt(M_TRIM_THRESHOLD, kNever);
  ::mallopt(M_TOP_PAD, 64 << 20);
}

int get_threads() { return at::get_num_threads(); }

at::Device open_device(const std::string& name) {
  if (name == "cpu") return at::kCPU;
  if (const auto extension = extension_device(name)) return *extension;
  if (name == "auto") {
    const RegroupCudaModule* module = find_cuda_module();
    return module != nullptr && module->device_count() > 0 ? at::Device(at::kCUDA, 0)
                                                           : at::Device(at::kCPU);
  }
  require_device_name(name);
  const int index = cuda_index(name);
  const RegroupCudaModule& module = require_cuda_module();
  if (index >= module.device_count()) {
    refuse("DEVICE",
           fmt::format("`device` {} must be one of the {} CUDA devices found", name,
                       module.device_count()),
           "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use `device` cpu");
  }
  module.use_device(index);
  return at::Device(at::kCUDA, static_cast<at::DeviceIndex>(index));
}

at::ScalarType to_scalar_type(Dtype dtype) {
  switch (dtype) {
    case Dtype::kBF16:
      return at::kBFloat16;
    case Dtype::kF16:
      return at::kHalf;
    case Dtype::kF64:
      return at::kDouble;
    default:
      return at::kFloat;
  }
}

at::ScalarType parse_compute_dtype(const std::string& name, at::Device device, Dtype stored) {
  require_compute_dtype_name(name);
  if (name == "f32" || name == "fp32") return at::kFloat;
  if (name == "bf16") return at::kBFloat16;
  if (name == "f16") return at::kHalf;
  return device.is_cpu() ? at::kFloat : to_scalar_type(stored);
}

const char* compute_dtype_name(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? "bf16" : dtype == at::kHalf ? "f16" : "f32";
}

std::optional<Error> explain_runtime_error(const std::exception& error) {
  const std::string what = error.what();
  const bool device = dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr;
  const bool host = what.find("DefaultCPUAllocator: can't allocate memory") != std::string::npos ||
                    what.find("not enough memory: you tried to allocate") != std::string::npos;
  if (!device && !host) return std::nullopt;
  return ConfigError(
      {.code = "NO_MEMORY",
       .message = fmt::format("ran out of {} memory: {}", device ? "GPU" : "host",
                              printable(what.substr(0, what.find('\n')), 300)),
       .hint = "uptrain, eval: use a smaller `micro-batch-size`, `batch-size` or `seq-len`, or "
               "`activation-checkpointing`; convert `calibration`: give "
               "`distill-steps` 0 or `scratch` FOLDER"});
}

std::optional<std::string> require_memory(int64_t bytes, at::Device device,
                                          const std::string& hint) {
  constexpr double kSurelyTooMuch = 1.25;
  const std::optional<int64_t> there = memory_of(device);
  if (!there || bytes <= *there) return std::nullopt;
  const std::string message =
      fmt::format("this needs about {} of {} memory, found {}", human_bytes(bytes),
                  device.is_cpu() ? "host" : "GPU", human_bytes(*there));
  if (static_cast<double>(bytes) <= kSurelyTooMuch * static_cast<double>(*there)) {
    return message + ": " + hint;
  }
  refuse("NO_MEMORY", message, hint);
}

std::string device_description(at::Device device) {
  if (device.is_cpu()) {
    const int threads = get_threads();
    return fmt::format("cpu, {} thread{}, {}", threads, threads == 1 ? "" : "s", simd_target());
  }
  if (!device.is_cuda()) return device.str();
  char name[128] = {};
  int64_t total = 0;
  require_cuda_module().describe(device.index(), name, sizeof(name), &total);
  return fmt::format("{} ({})", name, human_bytes(total));
}

int64_t peak_device_bytes(at::Device device) {
  return !device.is_cuda() ? 0 : require_cuda_module().peak_bytes(device.index());
}

std::string libtorch_version() { return TORCH_VERSION; }

}  // namespace regroup
