#include "writers/escape.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/hidden_characters.h"
#include "regroup/base/utf8.h"

namespace regroup {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

/// Walks over `text`, capped, and hands every character on: a visible one as itself, the others as
/// the text that stands for them.
template <typename Emit>
void visit(std::string_view text, Lines lines, const Emit& emit) {
  for (size_t i = 0; i < text.size();) {
    if (i >= kCellBytes) return emit(fmt::format(" ... {} bytes cut", text.size() - i));
    const CodePoint c = decode_front(text.substr(i));
    if (c.length == 0) {
      emit(std::string(kReplacement));
      ++i;
      continue;
    }
    const bool kept = lines == Lines::kKeep && (c.value == '\n' || c.value == '\t');
    emit(is_hidden(c.value) && !kept ? fmt::format("\\u{{{:x}}}", c.value)
                                     : std::string(text.substr(i, c.length)));
    i += c.length;
  }
}

std::string html_character(const std::string& character) {
  if (character == "&") return "&amp;";
  if (character == "<") return "&lt;";
  if (character == ">") return "&gt;";
  if (character == "\"") return "&quot;";
  if (character == "'") return "&#39;";
  return character;
}

std::string markdown_character(const std::string& character) {
  if (character == "<") return "&lt;";
  if (character == ">") return "&gt;";
  if (character == "&") return "&amp;";
  if (character == "@") return "&#64;";
  constexpr std::string_view kActive = "\\`*_[]|~#$!";
  const bool active = character.size() == 1 && kActive.find(character[0]) != std::string_view::npos;
  return active ? "\\" + character : character;
}

/// Where a backslash keeps the text from beginning a list, a rule or a heading ("- ", "+ ", "---",
/// "===", "1. "), if it should begin a line; npos if it would not.
size_t block_mark(std::string_view text) {
  const size_t mark = text.find_first_not_of("0123456789");
  if (mark == std::string_view::npos) return mark;
  const char c = text[mark];
  const char next = mark + 1 < text.size() ? text[mark + 1] : ' ';
  const bool bullet = mark == 0 && (c == '-' || c == '+' || c == '=') && (next == ' ' || next == c);
  const bool number = mark > 0 && (c == '.' || c == ')') && next == ' ';
  return bullet || number ? mark : std::string_view::npos;
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) {
    text.replace(at, what.size(), with);
  }
}

size_t longest_run(std::string_view text, char wanted) {
  size_t longest = 0;
  size_t run = 0;
  for (const char c : text) {
    run = c == wanted ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  return longest;
}

}  // namespace

std::string escape_html(std::string_view text, Lines lines) {
  std::string out;
  visit(text, lines, [&](const std::string& character) { out += html_character(character); });
  return out;
}

std::string escape_markdown(std::string_view text) {
  std::string out;
  visit(text, Lines::kShow, [&](const std::string& piece) {
    if (piece.starts_with("\\u{")) {
      out += "\\" + piece;  // shown as it is
    } else {
      out += markdown_character(piece);
    }
  });
  // Character references: a backslash does not stop GitHub from linking a bare address.
  replace_all(out, "://", "&#58;//");
  replace_all(out, "www.", "www&#46;");
  if (const size_t mark = block_mark(out); mark != std::string::npos) out.insert(mark, "\\");
  return out;
}

std::string markdown_code_block(std::string_view text) {
  std::string out;
  visit(text, Lines::kKeep, [&](const std::string& piece) { out += piece; });
  const std::string fence(std::max<size_t>(3, longest_run(out, '`') + 1), '`');
  return fence + "text\n" + out + (out.ends_with('\n') ? "" : "\n") + fence + "\n";
}

std::string escape_csv(std::string_view text) {
  constexpr std::string_view kFormula = "=+-@\t\r";
  std::string out;
  if (!text.empty() && kFormula.find(text[0]) != std::string_view::npos) out = "'";
  visit(text, Lines::kKeep, [&](const std::string& c) { out += c == "\"" ? "\"\"" : c; });
  const bool plain = out.find_first_of(",\"\n\t ;'") == std::string::npos;
  return plain ? out : "\"" + out + "\"";
}

std::string shorten(std::string_view text, size_t max) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++seen) {
    if (seen == max) return std::string(text.substr(0, i)) + "…";
    i += std::max<size_t>(1, decode_front(text.substr(i)).length);
  }
  return std::string(text);
}

size_t count_characters(std::string_view text) {
  size_t seen = 0;
  for (size_t i = 0; i < text.size(); ++seen) {
    i += std::max<size_t>(1, decode_front(text.substr(i)).length);
  }
  return seen;
}

}  // namespace regroup
