#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace regroup {

/// Walks over a pattern and refuses what cannot be translated, naming where.
class RegexReader {
 public:
  RegexReader(std::string_view pattern, const std::string& path) : pattern_(pattern), path_(path) {}
  bool done() const { return at_ >= pattern_.size(); }
  char peek() const { return pattern_[at_]; }
  void skip(size_t bytes) { at_ += bytes; }
  bool starts_with(std::string_view text) const { return pattern_.substr(at_).starts_with(text); }
  bool take(std::string_view text);  ///< skips `text` if it comes next
  char32_t character();              ///< the next character, skipped
  /// {n}, {n,} or {n,m}, skipped; none if the brace is no interval.
  std::optional<std::string> interval();
  /// @throws UnsupportedError TOK_REGEX_UNSUPPORTED
  [[noreturn]] void refuse(const std::string& rule) const;

 private:
  std::string_view pattern_;
  const std::string& path_;
  size_t at_ = 0;
};

/// A character as PCRE2 takes it anywhere.
std::string literal(char32_t character);

/// Translates an escape outside of a class: a class of its own, or one character.
std::string translate_escape(RegexReader& reader);

/// Translates "[...]".
std::string translate_class(RegexReader& reader);

}  // namespace regroup
