#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace regroup {

/// `text` made safe for a terminal or a log: control, bidi and zero-width characters and invalid
/// UTF-8 become \u{..} or \x.. escapes; cut to `most` bytes.
std::string printable(std::string_view text, size_t most = 200);

}  // namespace regroup
