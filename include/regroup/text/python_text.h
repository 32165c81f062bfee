#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace regroup {

// What methods of Python's str do, where lm-evaluation-harness calls them. Texts are UTF-8.

/// str.rstrip(), str.lstrip(), str.strip(): without white space of Unicode at the end, the start, both.
std::string_view python_rstrip(std::string_view text);
std::string_view python_lstrip(std::string_view text);
std::string_view python_strip(std::string_view text);

/// len(): characters, not bytes.
int64_t python_length(std::string_view text);

/// str.capitalize(): the first character in title case, the rest in lower case, by Unicode's simple mappings
/// (a capital sigma at the end of a word stays one that stands within).
std::string python_capitalize(std::string_view text);

/// str.lower(), likewise.
std::string python_lower(std::string_view text);

/// str.replace()
std::string python_replace(std::string_view text, std::string_view from, std::string_view to);

/// repr(): in quotation marks, with escapes for what is not printable.
std::string python_repr(std::string_view text);

}  // namespace regroup
