#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// The candidate with the smallest edit distance to `word`, or "" if none is near.
std::string nearest(std::string_view word, const std::vector<std::string>& candidates);

std::string join(const std::vector<std::string>& parts, std::string_view separator);

}  // namespace regroup
