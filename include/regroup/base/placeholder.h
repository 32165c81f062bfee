#pragma once

#include <optional>
#include <string_view>

namespace regroup {

/// What stands in the place of a file that did not come: a Git LFS pointer, an HTML page.
struct Placeholder {
  const char* what;  ///< "a Git LFS pointer"
  const char* hint;
};
/// @param start  the first bytes of the file, 32 of them are enough
std::optional<Placeholder> find_placeholder(std::string_view start);

}  // namespace regroup
