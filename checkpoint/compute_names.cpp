#include "regroup/checkpoint/compute_names.h"

#include <fmt/format.h>

#include <charconv>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

}  // namespace

int cuda_index(const std::string& name) {
  if (name == "cuda") return 0;
  int index = -1;
  if (name.starts_with("cuda:")) {
    const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), index);
    if (error != std::errc() || end != name.data() + name.size()) index = -1;
  }
  return index;
}

void require_device_name(const std::string& name) {
  if (name == "auto" || name == "cpu" || cuda_index(name) >= 0) return;
  refuse("DEVICE",
         fmt::format("`device` must be auto, cpu, cuda or cuda:N, found {}", printable(name)),
         "leave it out to use a GPU when there is one");
}

void require_compute_dtype_name(const std::string& name) {
  for (const char* known : {"auto", "f32", "fp32", "bf16", "f16"}) {
    if (name == known) return;
  }
  refuse("FLAG_VALUE",
         fmt::format("`dtype` must be auto, f32, bf16 or f16, found {}", printable(name)),
         "leave it out for f32 on a CPU and the model's own dtype on a GPU");
}

}  // namespace regroup
