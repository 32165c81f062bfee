#include "cuda_loader.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/program_folder.h"

namespace regroup {
namespace {

struct Loaded {
  const RegroupCudaModule* module = nullptr;
  std::string reason;
};

/// Loading libtorch_cuda registers the CUDA kernels with the dispatcher of libtorch_cpu.
Loaded load() {
  if (::dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
    return {nullptr, fmt::format("libtorch_cuda.so: {}", ::dlerror())};
  }
  const std::string beside = program_folder() + "libregroup_cuda.so";
  void* handle = ::dlopen(beside.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) return {nullptr, ::dlerror()};
  const auto entry = reinterpret_cast<RegroupCudaModuleEntry>(::dlsym(handle, kCudaModuleEntry));
  if (entry == nullptr) return {nullptr, beside + " is no GPU module of regroup"};
  const RegroupCudaModule* module = entry();
  if (module->version != kCudaModuleVersion) {
    return {nullptr, fmt::format("{} has version {}, this regroup needs {}", beside,
                                 module->version, kCudaModuleVersion)};
  }
  return {module, {}};
}

const Loaded& loaded() {
  static const Loaded result = load();
  return result;
}

}  // namespace

const RegroupCudaModule* find_cuda_module() { return loaded().module; }

const RegroupCudaModule& require_cuda_module() {
  if (loaded().module != nullptr) return *loaded().module;
  throw ConfigError({.code = "DEVICE",
                     .message = fmt::format(
                         "a CUDA device needs libregroup_cuda.so beside the binary and the CUDA "
                         "libraries of LibTorch: {}",
                         printable(loaded().reason, 400)),
                     .hint = "install the full torch 2.11.0 wheel with pip, or use `device` cpu"});
}

}  // namespace regroup
