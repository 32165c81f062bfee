#pragma once

#include <string>
#include <string_view>

namespace regroup {

enum class UnicodeForm { kNfc, kNfd, kNfkc, kNfkd };

/// Well-formed UTF-8 in a normal form (utf8proc), as the tokenizers package has it: characters that are newer than its
/// tables stay as they are. Takes time in proportion to the text, and the text alone where it is ASCII.
std::string to_normal_form(std::string_view text, UnicodeForm form);

}  // namespace regroup
