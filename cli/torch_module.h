#pragma once

namespace regroup {

/// The entry of libregroup_torch.so: carries out a command line, as main() does.
/// @param asked_before  the program's stop_signal(): the library has a flag of its own
/// @return the exit status
using TorchModuleEntry = int (*)(int argc, char** argv, int (*asked_before)());
inline constexpr const char* kTorchModuleEntry = "regroup_torch_main";

}  // namespace regroup
