#pragma once

#include <string_view>

namespace regroup {

/// "stem" for "astronomy"; "" for a subject that no group has.
std::string_view subject_group(std::string_view subject);

}  // namespace regroup
