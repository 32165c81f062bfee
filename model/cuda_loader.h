#pragma once

#include "regroup/model/cuda_module.h"

namespace regroup {

/// The GPU module if it and the CUDA half of LibTorch can be loaded, else nullptr.
const RegroupCudaModule* find_cuda_module();
/// @throws ConfigError DEVICE saying what could not be loaded and what to install
const RegroupCudaModule& require_cuda_module();

}  // namespace regroup
