#include "torch_loader.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/program_folder.h"

namespace regroup {
namespace {

/// libgomp reads its environment when it is loaded, and LibTorch loads it.
void set_environment(const std::string& command) {
  // Threads that wait busily for longer slow everything down where another process uses the cores too. A
  // token is made of hundreds of regions of microseconds: there a thread that falls asleep costs more.
  const char* spins = command == "generate" ? "1000000" : "10000";
  if (std::getenv("OMP_WAIT_POLICY") == nullptr) ::setenv("GOMP_SPINCOUNT", spins, /*overwrite=*/0);
}

[[noreturn]] void refuse(const std::string& path, const std::string& reason) {
  throw ConfigError(
      {.code = "LIBTORCH",
       .message = fmt::format("must be there and find the LibTorch that it was built with: {}",
                              printable(reason, 400)),
       .path = path,
       .hint = "keep it beside the program, and LibTorch where it was (scripts/setup), or build "
               "again with make"});
}

}  // namespace

TorchModuleEntry load_torch_module(const std::string& command) {
  set_environment(command);
  const std::string path = program_folder() + "libregroup_torch.so";
  // Global, as if the program were linked with LibTorch: its CUDA libraries look for its symbols.
  void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (handle == nullptr) refuse(path, ::dlerror());
  const auto entry = reinterpret_cast<TorchModuleEntry>(::dlsym(handle, kTorchModuleEntry));
  if (entry == nullptr) refuse(path, ::dlerror());
  return entry;
}

}  // namespace regroup
