#pragma once

#include <cstdint>

namespace regroup {

/// True for characters that move the cursor, turn the line around or cannot be seen: controls, bidi marks,
/// what is zero wide, fillers and tags. Variation selectors that emoji use (U+FE00 to U+FE0F) are not
/// among them.
bool is_hidden(uint32_t character);

}  // namespace regroup
