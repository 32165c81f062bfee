#include "served_model_flags.h"

#include "flag_values.h"
#include "regroup/base/folder.h"
#include "regroup/base/folder_listing.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"
#include "regroup/base/quantity.h"
#include "regroup/checkpoint/model_folder.h"

namespace regroup {

CacheLayout read_served_layout(const ServedModelFlags& flags) {
  return read_cache_layout(config_path_of(flags.model));
}

std::optional<int64_t> stated_weight_bytes(const ServedModelFlags& flags,
                                           const CacheLayout& layout) {
  if (!flags.weights.empty()) return parse_size(flags.weights, "--weights");
  if (layout.config) return std::nullopt;
  const std::string folder = parent_folder(config_path_of(flags.model));
  if (!is_folder(flags.model)) return std::nullopt;
  int64_t bytes = 0;
  for (const std::string& name : list_folder(folder).files) {
    // Mistral's own copy of the weights lies beside the shards.
    const bool copy = name.starts_with("consolidated");
    if (name.ends_with(".safetensors") && !copy) bytes += InputFile(folder + "/" + name).size();
  }
  return bytes > 0 ? std::optional(bytes) : std::nullopt;
}

std::optional<Gpu> stated_gpu(const ServedModelFlags& flags) {
  if (flags.gpu.empty()) return std::nullopt;
  return find_gpu(flags.gpu);
}

std::optional<int64_t> stated_memory(const ServedModelFlags& flags) {
  if (!flags.gpu_memory.empty()) return parse_size(flags.gpu_memory, "--gpu-memory");
  const std::optional<Gpu> gpu = stated_gpu(flags);
  return gpu ? std::optional(gpu->memory_bytes) : std::nullopt;
}

void add_served_model_flags(CLI::App& command, ServedModelFlags& flags) {
  command.add_option("MODEL,--model", flags.model, "Model folder or config.json")
      ->type_name(kFile)
      ->required();
  add_device_flags(command, flags);
}

void add_device_flags(CLI::App& command, ServedModelFlags& flags) {
  const std::string dtypes = words({"bf16", "f16", "f32", "fp8", "int8", "int4"});
  command
      .add_option(
          "--tp", flags.tp,
          "Devices that share the model; KV heads are repeated where there are more devices")
      ->capture_default_str()
      ->check(whole_number(1, 1 << 16));
  command.add_option("--gpu", flags.gpu,
                     "The device's memory, bandwidth and FLOP/s by its name, such as h100");
  command.add_option("--gpu-memory", flags.gpu_memory,
                     "Memory of the GPU, of each one with --tp, such as 80GiB");
  command.add_option(
      "--weights", flags.weights,
      "Bytes of all weights, such as 94GB, for models whose parameters are not counted");
  command.add_option("--kv-dtype", flags.kv_dtype, "Dtype of the KV cache")
      ->type_name(dtypes)
      ->capture_default_str();
  command.add_option("--weight-dtype", flags.weight_dtype, "Dtype of the weights")
      ->type_name(dtypes)
      ->capture_default_str();
}

}  // namespace regroup
