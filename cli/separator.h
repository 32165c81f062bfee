#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Warns when a --document-separator occurs in none of the .txt files it is meant to cut: all of a file is
/// one document then, with what was meant as text in it.
void warn_if_separator_missing(const std::string& flag, const std::vector<std::string>& files);

}  // namespace regroup
