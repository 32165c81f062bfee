#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// Characters from `first` to `last`.
struct CodeRange {
  char32_t first;
  char32_t last;
};

/// The tokenizers package, whose ids regroup gives, has one version of Unicode in each of its parts, and none is
/// PCRE2's or utf8proc's. tests/oracles/unicode_classes.py compares every character.

/// Characters that a category ("L", "Lu", "Han") has in the package's regular expressions and not in PCRE2's.
std::vector<CodeRange> newer_characters(std::string_view category);

bool is_numeric(char32_t character);      ///< as the Digits pre-tokenizer has it
bool is_punctuation(char32_t character);  ///< as the Punctuation pre-tokenizer has it
bool is_mark(char32_t character);         ///< as the StripAccents normalizer has it
void append_lower_case(std::string& text,
                       char32_t character);  ///< as the Lowercase normalizer does
bool is_white_space(char32_t character);     ///< Unicode's White_Space
/// True for what normalization in the package leaves alone since its tables are older.
bool is_new_in_normalization(char32_t character);

}  // namespace regroup
