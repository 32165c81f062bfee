#include "regroup/model/simd.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cstdlib>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

const char* name_of(int64_t target) {
  switch (target) {
    case HWY_AVX3:
      return "avx512";
    case HWY_AVX2:
      return "avx2";
    case HWY_SCALAR:
    case HWY_EMU128:
      return "scalar";
    default:
      return "baseline";
  }
}

/// A lower bit is a better target.
const std::vector<int64_t>& supported() {
  static const std::vector<int64_t> all = [] {
    std::vector<int64_t> found = hwy::SupportedAndGeneratedTargets();
    if (found.empty() || found.back() != HWY_STATIC_TARGET) found.push_back(HWY_STATIC_TARGET);
    return found;
  }();
  return all;
}

int64_t& chosen() {
  static int64_t target = supported().front();
  return target;
}

}  // namespace

std::vector<std::string> simd_targets() {
  std::vector<std::string> names;
  for (const int64_t target : supported()) names.emplace_back(name_of(target));
  return names;
}

std::string simd_target() { return name_of(chosen()); }

void use_simd_target(const std::string& name) {
  const auto found = std::ranges::find(supported(), name, name_of);
  if (found == supported().end()) {
    throw ConfigError({.code = "SIMD_TARGET",
                       .message = fmt::format(
                           "REGROUP_SIMD must be one of {}, which this processor has, found {}",
                           fmt::join(simd_targets(), ", "), printable(name)),
                       .hint = "unset REGROUP_SIMD to use the best one"});
  }
  hwy::DisableTargets(~*found);
  chosen() = *found;
}

bool simd_multiplies_bf16() {
#if defined(__x86_64__)
  return chosen() == HWY_AVX3 && __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

void use_simd_target_of_environment() {
  if (const char* name = std::getenv("REGROUP_SIMD")) use_simd_target(name);
}

}  // namespace regroup
