#pragma once

#include "regroup/checkpoint/family.h"

/// A family is one file of families/, named in MODEL_FAMILIES of CMakeLists.txt.
namespace regroup::families {
#define REGROUP_ENTRY(name) extern const ModelFamily name;
#include "regroup/model_families.inc"
#undef REGROUP_ENTRY

// Early folders carry the rotary frequencies as a buffer; they follow from the config.
inline constexpr auto kRotaryBuffer = std::to_array<std::string_view>({".rotary_emb.inv_freq"});
}  // namespace regroup::families
