#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "regroup/serving/cache_layout.h"
#include "regroup/serving/gpu.h"

namespace regroup {

/// What `plan` and `replay` ask of a model and of the devices that serve it.
struct ServedModelFlags {
  std::string model;
  std::string weights;
  std::string gpu;
  std::string gpu_memory;
  std::string kv_dtype = "bf16";
  std::string weight_dtype = "bf16";
  int64_t tp = 1;
};

/// The value of --reserve that stands for an estimate.
inline constexpr const char* kAutoReserve = "auto";

void add_served_model_flags(CLI::App& command, ServedModelFlags& flags);
/// The same without the model, for commands that have named it already.
void add_device_flags(CLI::App& command, ServedModelFlags& flags);

CacheLayout read_served_layout(const ServedModelFlags& flags);

/// Bytes of the weights as --weights says, or as the folder's safetensors have them where parameters of the model cannot be
/// counted; nothing where neither is there.
std::optional<int64_t> stated_weight_bytes(const ServedModelFlags& flags,
                                           const CacheLayout& layout);
std::optional<Gpu> stated_gpu(const ServedModelFlags& flags);
/// Of --gpu-memory, or of the GPU.
std::optional<int64_t> stated_memory(const ServedModelFlags& flags);

}  // namespace regroup
