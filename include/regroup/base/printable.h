#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace regroup {

/// `text` made safe for a terminal or a log: control, bidi and zero-width characters and invalid
/// UTF-8 become \u{..} or \x.. escapes; cut to `max` bytes.
std::string printable(std::string_view text, size_t max = 200);

}  // namespace regroup
