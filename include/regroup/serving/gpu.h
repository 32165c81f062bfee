#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// A device that serves models, by its data sheet.
struct Gpu {
  std::string_view name;         ///< as users write it: "h100"
  std::string_view product;      ///< "NVIDIA H100 SXM"
  int64_t memory_bytes;          ///< that the driver reports
  double bandwidth_bytes_per_s;  ///< of its memory
  double flops_per_s;            ///< dense, 16-bit, accumulated in 32 bits
};

const std::vector<Gpu>& known_gpus();

/// The device of that name, whatever its case, and with or without the maker's name, spaces or dashes: "NVIDIA A100-80GB".
/// @throws ConfigError GPU_UNKNOWN, naming the nearest
const Gpu& find_gpu(const std::string& name);

}  // namespace regroup
