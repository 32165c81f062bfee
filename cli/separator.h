#pragma once

#include <string>
#include <vector>

namespace regroup {

/// Warns when a --document-separator occurs in none of the .txt files it is meant to cut: all of a file is
/// one document then, with the misspelt separator as text in it. Looks at the first 64 MiB of each.
void warn_if_separator_missing(const std::string& flag, const std::vector<std::string>& files);

}  // namespace regroup
