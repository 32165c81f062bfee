#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Targets of the CPU kernels that this processor has, best first: avx512, avx2, baseline (SSSE3), scalar; on ARM
/// baseline (NEON).
std::vector<std::string> simd_targets();

/// The one that the kernels run with: the best, unless another was chosen.
std::string simd_target();

/// From now on kernels run with this target. Not while kernels run.
/// @throws ConfigError SIMD_TARGET when this processor has none of that name
void use_simd_target(const std::string& name);

/// The target that the environment asks for by REGROUP_SIMD, if it does.
/// @throws ConfigError SIMD_TARGET
void use_simd_target_of_environment();

/// True where the processor multiplies bfloat16 itself (AVX512_BF16) and the target has those instructions.
bool simd_multiplies_bf16();

}  // namespace regroup
