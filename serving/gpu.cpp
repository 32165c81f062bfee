#include "regroup/serving/gpu.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

constexpr int64_t kMiB = 1 << 20;
constexpr double kGB = 1e9;
constexpr double kT = 1e12;

std::string plain(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0) text.push_back(static_cast<char>(std::tolower(byte)));
  }
  for (const std::string_view maker : {"nvidia", "geforce", "amd", "tesla", "instinct"}) {
    if (text.starts_with(maker)) text.erase(0, maker.size());
  }
  return text;
}

}  // namespace

const std::vector<Gpu>& known_gpus() {
  static const std::vector<Gpu> gpus = {
      {"a10", "NVIDIA A10", 23'028 * kMiB, 600 * kGB, 125 * kT},
      {"a10g", "NVIDIA A10G", 23'028 * kMiB, 600 * kGB, 70 * kT},
      {"a100-40gb", "NVIDIA A100 40GB", 40'960 * kMiB, 1'555 * kGB, 312 * kT},
      {"a100-80gb", "NVIDIA A100 SXM 80GB", 81'920 * kMiB, 2'039 * kGB, 312 * kT},
      {"a100-pcie-80gb", "NVIDIA A100 PCIe 80GB", 81'920 * kMiB, 1'935 * kGB, 312 * kT},
      {"a6000", "NVIDIA RTX A6000", 49'140 * kMiB, 768 * kGB, 154.8 * kT},
      {"b200", "NVIDIA B200", 183'359 * kMiB, 8'000 * kGB, 2'250 * kT},
      {"h100", "NVIDIA H100 SXM", 81'559 * kMiB, 3'350 * kGB, 989 * kT},
      {"h100-nvl", "NVIDIA H100 NVL", 95'830 * kMiB, 3'900 * kGB, 835 * kT},
      {"h100-pcie", "NVIDIA H100 PCIe", 81'559 * kMiB, 2'000 * kGB, 756 * kT},
      {"h200", "NVIDIA H200", 143'771 * kMiB, 4'800 * kGB, 989 * kT},
      {"l4", "NVIDIA L4", 23'034 * kMiB, 300 * kGB, 121 * kT},
      {"l40s", "NVIDIA L40S", 46'068 * kMiB, 864 * kGB, 362 * kT},
      {"mi250x", "AMD Instinct MI250X", 131'072 * kMiB, 3'277 * kGB, 383 * kT},
      {"mi300x", "AMD Instinct MI300X", 196'592 * kMiB, 5'300 * kGB, 1'307 * kT},
      {"mi325x", "AMD Instinct MI325X", 262'144 * kMiB, 6'000 * kGB, 1'307 * kT},
      {"rtx3090", "NVIDIA GeForce RTX 3090", 24'576 * kMiB, 936 * kGB, 71 * kT},
      {"rtx4090", "NVIDIA GeForce RTX 4090", 24'564 * kMiB, 1'008 * kGB, 165.2 * kT},
      {"rtx5090", "NVIDIA GeForce RTX 5090", 32'607 * kMiB, 1'792 * kGB, 209.5 * kT},
      {"rtx6000-ada", "NVIDIA RTX 6000 Ada", 49'140 * kMiB, 960 * kGB, 364 * kT},
      {"t4", "NVIDIA T4", 15'360 * kMiB, 320 * kGB, 65 * kT},
      {"v100-32gb", "NVIDIA V100 SXM 32GB", 32'768 * kMiB, 900 * kGB, 125 * kT},
  };
  return gpus;
}

const Gpu& find_gpu(const std::string& name) {
  std::vector<std::string> names;
  for (const Gpu& gpu : known_gpus()) {
    if (plain(gpu.name) == plain(name) || plain(gpu.product) == plain(name)) return gpu;
    names.emplace_back(gpu.name);
  }
  const std::string near = nearest(name, names);
  throw ConfigError({.code = "GPU_UNKNOWN",
                     .message = fmt::format("`gpu` must be one of {}, found {}", join(names, ", "),
                                            printable(name)),
                     .hint = (near.empty() ? "" : fmt::format("did you mean {}? ", near)) +
                             "Another device's memory, bandwidth and FLOP/s can be given in "
                             "figures"});
}

}  // namespace regroup
