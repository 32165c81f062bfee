#pragma once

#include <ATen/core/Tensor.h>

#include <exception>
#include <optional>
#include <string>

#include "regroup/base/error.h"
#include "regroup/checkpoint/dtype.h"

namespace regroup {

/// CPU threads of LibTorch; 0: usable_threads(). Fixed threads give fixed bits.
void set_threads(int threads);
int get_threads();

/// From now on freed memory stays with the process. Training allocates and frees the same large
/// activations every step; giving them back to the system costs a page fault for every 4 KiB.
void keep_freed_memory();

/// "auto", "cpu", "cuda", "cuda:1" (GPU libraries are loaded once), an extension's that tests register.
/// @throws ConfigError DEVICE when the device is not there, saying what to install
at::Device open_device(const std::string& name);

/// "f32", "bf16", "f16"; "auto": f32 on a CPU, `stored` on a GPU. @throws ConfigError
at::ScalarType parse_compute_dtype(const std::string& name, at::Device device, Dtype stored);
const char* compute_dtype_name(at::ScalarType dtype);
at::ScalarType to_scalar_type(Dtype dtype);

/// An error of LibTorch that a user can do something about: no memory left on host or device.
std::optional<Error> explain_runtime_error(const std::exception& error);

/// Weighs an estimate of what work needs against the memory of `device` (host_memory() for a CPU).
/// @return a warning where the estimate exceeds it, in words for a user
/// @throws ConfigError NO_MEMORY where it exceeds it by a quarter, more than the estimate may be off
std::optional<std::string> require_memory(int64_t bytes, at::Device device,
                                          const std::string& hint);

/// What a device is called, for reports: "cpu", "NVIDIA H100".
std::string device_description(at::Device device);
int64_t peak_device_bytes(at::Device device);  ///< 0 but on a GPU
std::string libtorch_version();

}  // namespace regroup
