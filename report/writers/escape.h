#pragma once

#include <string>
#include <string_view>

namespace regroup {

/// One function per place that a text can go to. All of them replace invalid UTF-8 by U+FFFD, show
/// control, bidi and zero-width characters as \u{..}, and cut a text after kCellBytes.
inline constexpr size_t kCellBytes = 20'000;

enum class Lines {
  kShow,  ///< line breaks and tabs are shown as \u{a}, \u{9}
  kKeep,  ///< they stay: for preformatted text
};

/// Element content and quoted attributes of HTML and SVG.
std::string escape_html(std::string_view text, Lines lines = Lines::kShow);
/// Inline Markdown, also inside a table: nothing in it formats, links or ends the cell.
std::string escape_markdown(std::string_view text);
/// A fenced block whose fence is longer than any run of backticks in it.
std::string markdown_code_block(std::string_view text);
/// One cell that a spreadsheet takes for text: quoted, and never a formula.
std::string escape_csv(std::string_view text);

/// The first `max` characters, with "…" if there were more. Not escaped.
std::string shorten(std::string_view text, size_t max);
/// Characters (code points) in `text`.
size_t count_characters(std::string_view text);

}  // namespace regroup
