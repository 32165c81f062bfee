#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "regroup/text/documents.h"

namespace regroup {

inline constexpr const char* kTextFiles = "Text files (.txt, .jsonl, .json; also .gz, .zst)";

/// How a command's text files become documents.
struct TextFlags {
  std::string field = "text";
  std::string field_separator;
  std::string separator;
};
void add_text_flags(CLI::App& command, TextFlags& flags);
DocumentOptions document_options(const TextFlags& flags);

/// Warns when a --document-separator occurs in none of the .txt files: each would be one document.
/// Files of other kinds, and files that cannot be read, are left to who reads them.
void warn_if_separator_missing(const TextFlags& flags, const std::vector<std::string>& files);

}  // namespace regroup
