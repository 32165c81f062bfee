#pragma once

namespace regroup {

/// The entry of libregroup_torch.so: carries out a command line, as main() does.
/// @return the exit status
using TorchModuleEntry = int (*)(int argc, char** argv);
inline constexpr const char* kTorchModuleEntry = "regroup_torch_main";

}  // namespace regroup
