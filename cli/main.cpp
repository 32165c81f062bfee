#include <cstdio>
#include <cstdlib>

#include "program.h"
#include "regroup/base/stop_signal.h"
#include "torch_loader.h"
#include "torch_part.h"

namespace regroup {
namespace {

int run(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  std::string command;
  try {
    return run_program(arguments);
  } catch (const TorchNeeded& needed) {
    command = needed.command;
  }
  try {
    const TorchModuleEntry entry = load_torch_module(command);
    return entry(argc, argv, stop_signal);
  } catch (const Error& error) {
    return report_error(error, arguments);
  }
}

/// Ends the process without the destructors of static objects: LibTorch's take 70 ms, and nothing that a
/// user waits for is left to do.
[[noreturn]] void leave(int status) {
  std::fflush(nullptr);
  std::_Exit(status);
}

}  // namespace
}  // namespace regroup

int main(int argc, char** argv) {
  regroup::install_stop_handlers();
  regroup::leave(regroup::run(argc, argv));
}
