#pragma once

#include <string>
#include <string_view>

namespace regroup {

/// A pattern of a tokenizer.json, written for Oniguruma (Ruby's syntax), as PCRE2 (UTF, UCP, MULTILINE) must see it to
/// match the same: `\s` is Unicode's White_Space, `^` and `$` stand at lines, `x{1,3}+` repeats, and
/// categories have the characters of the package's Unicode.
/// @param path  the file, named in errors
/// @throws UnsupportedError TOK_REGEX_UNSUPPORTED: what differs between the two in ways not rebuilt here
/// (`\w`, `\b`, nested classes, back-references, look-behind), and an unbounded repeat inside another, which may
/// take time without end
std::string translate_regex(std::string_view pattern, const std::string& path);

}  // namespace regroup
