#pragma once

#include <string>
#include <vector>

#include "regroup/text/documents.h"

namespace regroup {

inline constexpr const char* kTextFiles =
    "Text files (.txt, .jsonl, .json; also .gz, .zst; .parquet)";

/// Warns when a --document-separator occurs in none of the .txt files: each would be one document.
/// Files of other kinds, and files that cannot be read, are left to who reads them.
void warn_if_separator_missing(const DocumentOptions& options,
                               const std::vector<std::string>& files);

}  // namespace regroup
