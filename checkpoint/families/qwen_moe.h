#pragma once

#include "families/tensor_rows.h"

namespace regroup::families {

// No published model with experts has a window; which layers its class gives one differs from version to version.
inline constexpr auto kNoWindow =
    std::to_array<RefusedKey>({{"use_sliding_window", "layers with a window and experts"}});

}  // namespace regroup::families
