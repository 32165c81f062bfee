#pragma once

#include <string>

namespace regroup {

/// The index of "cuda" or "cuda:N"; -1: no CUDA device name.
int cuda_index(const std::string& name);

/// @throws ConfigError DEVICE unless `name` is "auto", "cpu", "cuda" or "cuda:N"; opens nothing
void require_device_name(const std::string& name);
/// @throws ConfigError FLAG_VALUE unless `name` is "auto", "f32", "bf16" or "f16"
void require_compute_dtype_name(const std::string& name);

}  // namespace regroup
