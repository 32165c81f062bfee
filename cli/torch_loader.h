#pragma once

#include <string>

#include "torch_module.h"

namespace regroup {

/// Loads libregroup_torch.so, which lies beside the program, and LibTorch with it.
/// @throws ConfigError LIBTORCH when one of them is not there, saying what to do
TorchModuleEntry load_torch_module(const std::string& command);

}  // namespace regroup
