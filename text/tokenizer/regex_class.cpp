#include "regex_class.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tokenizer_files.h"
#include "unicode_tables.h"
#include "utf8.h"

namespace regroup {
namespace {

// PCRE2's own \s has U+180E too, which is no white space any more.
constexpr std::string_view kSpaces =
    R"(\x09-\x0D\x20\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNoSpaces =
    R"(\x00-\x08\x0E-\x1F\x21-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027}\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";

/// What stands for one or several characters inside a class.
struct Member {
  std::string text;
  bool negated = false;               ///< all characters but these
  std::optional<char32_t> character;  ///< one character, which a range may begin or end with
};

std::string category_members(const std::string& name) {
  // \p{Han} would be what also occurs with Han characters.
  std::string text = name == "Han" ? "\\p{sc:Han}" : fmt::format("\\p{{{}}}", name);
  for (const CodeRange& range : newer_characters(name)) {
    text += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<uint32_t>(range.first),
                        static_cast<uint32_t>(range.last));
  }
  return text;
}

/// Oniguruma's words: letters, marks, decimal digits and number letters, connectors, letters in circles and squares;
/// outside of a class the other numbers of Latin-1 too.
std::string word_members(bool in_class) {
  std::string text =
      R"(\x{24B6}-\x{24E9}\x{1F130}-\x{1F149}\x{1F150}-\x{1F169}\x{1F170}-\x{1F189})";
  if (!in_class) text += R"(\xB2\xB3\xB9\xBC-\xBE)";
  for (const char* name : {"L", "M", "Nd", "Nl", "Pc"}) text += category_members(name);
  return text;
}

/// "\p{Lu}", from the brace on.
Member category(RegexReader& reader, bool negated) {
  if (!reader.take("{")) reader.refuse("must name a category in braces");
  std::string name;
  while (!reader.done() && reader.peek() != '}') {
    name += reader.peek();
    reader.skip(1);
  }
  if (!reader.take("}")) reader.refuse("must close the brace");
  // Categories that a new version of Unicode only adds to: compared character by character.
  constexpr std::string_view kKnown[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mc",
                                         "Me", "N",  "Nd", "Nl", "No", "P",  "Pc", "Pd",
                                         "Ps", "Pe", "Pi", "Pf", "Po", "S",  "Sm", "Sc",
                                         "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Han"};
  if (std::find(std::begin(kKnown), std::end(kKnown), name) == std::end(kKnown)) {
    reader.refuse(fmt::format("must not use the property {}", printable(name)));
  }
  return {.text = category_members(name), .negated = negated, .character = {}};
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/// Digits of "\x41", "\x{1F600}" or "\u3001", behind the letter.
char32_t hexadecimal(RegexReader& reader, char kind) {
  const bool braces = kind == 'x' && reader.take("{");
  const int max = braces ? 6 : kind == 'x' ? 2 : 4;
  char32_t value = 0;
  int n = 0;
  for (; n < max && !reader.done() && hex_digit(reader.peek()) >= 0; ++n) {
    value = value * 16 + static_cast<char32_t>(hex_digit(reader.peek()));
    reader.skip(1);
  }
  const bool closed = !braces || reader.take("}");
  const bool whole = braces ? n > 0 : n == max;
  const bool surrogate = value >= 0xD800 && value < 0xE000;
  // "\x80" alone is a byte, not a character.
  const bool byte = kind == 'x' && !braces && value >= 0x80;
  if (!closed || !whole || surrogate || byte || value > 0x10FFFF)
    reader.refuse("must name a character by its digits");
  return value;
}

Member single(char32_t c) { return {.text = literal(c), .negated = false, .character = c}; }

/// An escape, from its backslash on.
Member escape(RegexReader& reader, bool in_class) {
  reader.skip(1);
  if (reader.done()) reader.refuse("must not end with a backslash");
  const char c = reader.peek();
  const bool plain = static_cast<unsigned char>(c) < 0x80 && hex_digit(c) < 0 &&
                     !(c >= 'g' && c <= 'z') && !(c >= 'G' && c <= 'Z');
  if (plain || static_cast<unsigned char>(c) >= 0x80) return single(reader.character());
  reader.skip(1);
  switch (c) {
    case 's':
      return {.text = std::string(kSpaces), .negated = false, .character = {}};
    case 'S':
      return {.text = std::string(kNoSpaces), .negated = false, .character = {}};
    case 'd':
      return {.text = category_members("Nd"), .negated = false, .character = {}};
    case 'w':
    case 'W':
      return {.text = word_members(in_class), .negated = c == 'W', .character = {}};
    case 'p':
      return category(reader, false);
    case 'P':
      return category(reader, true);
    case 'n':
      return single('\n');
    case 'r':
      return single('\r');
    case 't':
      return single('\t');
    case 'f':
      return single('\f');
    case 'v':
      return single('\v');
    case 'x':
    case 'u':
      return single(hexadecimal(reader, c));
    default:
      reader.refuse(fmt::format("must not use \\{}", c));
  }
}

Member class_member(RegexReader& reader) {
  if (reader.starts_with("[")) reader.refuse("must not nest classes");
  if (reader.starts_with("&&")) reader.refuse("must not intersect classes");
  if (reader.peek() != '\\') return single(reader.character());
  Member member = escape(reader, /*in_class=*/true);
  if (member.negated) reader.refuse("must not have \\P or \\W inside a class");
  return member;
}

}  // namespace

bool RegexReader::take(std::string_view text) {
  if (!starts_with(text)) return false;
  at_ += text.size();
  return true;
}

char32_t RegexReader::character() {
  const char32_t c = character_at(pattern_, at_);
  at_ += character_bytes(static_cast<unsigned char>(pattern_[at_]));
  return c;
}

std::optional<std::string> RegexReader::interval() {
  const size_t close = pattern_.find('}', at_);
  if (close == std::string_view::npos) return std::nullopt;
  const std::string_view inside = pattern_.substr(at_ + 1, close - at_ - 1);
  const size_t comma = std::min(inside.find(','), inside.size());
  const auto number = [](std::string_view text) {
    return text.size() <= 4 && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::string_view min = inside.substr(0, comma);
  const std::string_view max = inside.substr(std::min(comma + 1, inside.size()));
  if (!number(min) || !number(max)) return std::nullopt;
  if (min.empty())
    return comma < inside.size() && !max.empty()
               ? (refuse("must give the least number"), std::nullopt)
               : std::nullopt;
  std::string text(pattern_.substr(at_, close - at_ + 1));
  at_ = close + 1;
  return text;
}

void RegexReader::refuse(const std::string& rule) const {
  throw UnsupportedError({.code = "TOK_REGEX_UNSUPPORTED",
                          .message = fmt::format("the regular expression {} at byte {}: {}", rule,
                                                 at_, printable(pattern_)),
                          .path = path_,
                          .hint = kTokenizeElsewhere});
}

std::string literal(char32_t character) {
  const auto c = static_cast<uint32_t>(character);
  const bool plain =
      c < 0x80 && ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'));
  return plain ? std::string(1, static_cast<char>(c)) : fmt::format("\\x{{{:X}}}", c);
}

std::string translate_escape(RegexReader& reader) {
  const Member member = escape(reader, /*in_class=*/false);
  if (member.character) return member.text;
  return fmt::format("[{}{}]", member.negated ? "^" : "", member.text);
}

std::string translate_class(RegexReader& reader) {
  reader.skip(1);
  std::string text = reader.take("^") ? "[^" : "[";
  if (reader.starts_with("]")) reader.refuse("must not have an empty class");
  while (!reader.starts_with("]")) {
    if (reader.done()) reader.refuse("must close the class");
    const Member first = class_member(reader);
    text += first.text;
    const bool range = reader.starts_with("-") && !reader.starts_with("-]");
    if (!range) continue;
    reader.skip(1);
    if (reader.done()) reader.refuse("must close the class");
    const Member last = class_member(reader);
    if (!first.character || !last.character || *last.character < *first.character)
      reader.refuse("must give ranges from one character to a later one");
    text += "-" + last.text;
  }
  reader.skip(1);
  return text + "]";
}

}  // namespace regroup
