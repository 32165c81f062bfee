#include "template_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <string_view>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "tokenizer/utf8.h"

namespace regroup::chat {
namespace {

constexpr std::string_view kSpace = " \t\n\r\v\f";
constexpr std::array<std::string_view, 5> kTwoLetters = {"==", "!=", "<=", ">=", "//"};

bool is_letter(char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool is_character(uint32_t point) {
  return point < 0xD800 || (point >= 0xE000 && point <= 0x10FFFF);
}
bool is_digit(char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; }

/// Line breaks are \n, and the last one is none.
std::string normal_lines(const std::string& source) {
  std::string out;
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out += source[i];
    } else if (i + 1 >= source.size() || source[i + 1] != '\n') {
      out += '\n';
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

class Lexer {
 public:
  Lexer(const std::string& source, const std::string& path)
      : source_(normal_lines(source)), path_(path) {}

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t tag = next_tag();
      add_text(tag);
      if (tag == source_.size()) break;
      const char kind = source_[tag + 1];
      at_ = tag + 2;
      if (at_ < source_.size() && (source_[at_] == '-' || source_[at_] == '+')) ++at_;
      kind == '#' ? skip_comment() : read_tag(kind == '{');
    }
    tokens_.push_back({Token::Kind::kEnd, "the end", line()});
    return std::move(tokens_);
  }

 private:
  int line() {
    for (; counted_ < at_; ++counted_) line_ += source_[counted_] == '\n' ? 1 : 0;
    return line_;
  }

  size_t next_tag() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      if (source_[i] != '{') continue;
      const char c = source_[i + 1];
      if (c == '{' || c == '%' || c == '#') return i;
    }
    return source_.size();
  }

  /// The text up to `tag`, without what tags take away.
  void add_text(size_t tag) {
    std::string text = source_.substr(at_, tag - at_);
    if (trims_ == '-') {
      text.erase(0, std::min(text.find_first_not_of(kSpace), text.size()));
    } else if (trims_ == 'n' && text.starts_with('\n')) {
      text.erase(0, 1);
    }
    if (tag < source_.size()) {
      const char mark = tag + 2 < source_.size() ? source_[tag + 2] : ' ';
      if (mark == '-') {
        text.erase(text.find_last_not_of(kSpace) + 1);
      } else if (source_[tag + 1] != '{' && mark != '+') {
        take_indent(text, tag);
      }
    }
    if (!text.empty()) tokens_.push_back({Token::Kind::kText, text, line()});
  }

  /// Takes the spaces away that stand between the beginning of a line and a block.
  void take_indent(std::string& text, size_t tag) const {
    const size_t kept = text.find_last_not_of(" \t") + 1;
    const size_t begin = tag - (text.size() - kept);
    if (begin == 0 || source_[begin - 1] == '\n') text.erase(kept);
  }

  void skip_comment() {
    const size_t end = source_.find("#}", at_);
    if (end == std::string::npos) refuse_template(path_, line(), "a comment has no end");
    trims_ = source_[end - 1] == '-' ? '-' : 'n';
    at_ = end + 2;
  }

  void read_tag(bool output) {
    using Kind = Token::Kind;
    tokens_.push_back({output ? Kind::kOutputBegin : Kind::kBlockBegin, "", line()});
    const std::string end = output ? "}}" : "%}";
    while (true) {
      at_ = std::min(source_.find_first_not_of(kSpace, at_), source_.size());
      if (at_ >= source_.size()) refuse_template(path_, line(), "a tag has no end");
      const bool marked = source_[at_] == '-' || (!output && source_[at_] == '+');
      if (source_.compare(at_ + (marked ? 1 : 0), 2, end) == 0 && !opens_dict(end)) {
        trims_ = marked ? source_[at_] : output ? ' ' : 'n';
        at_ += marked ? 3 : 2;
        tokens_.push_back({output ? Kind::kOutputEnd : Kind::kBlockEnd, end, line()});
        return;
      }
      read_token();
    }
  }

  /// In {{ {"a": {}}} }} the first }} ends two dicts.
  bool opens_dict(const std::string& end) const { return end == "}}" && braces_ > 0; }

  void read_token() {
    const char c = source_[at_];
    if (c == '\'' || c == '"') return read_string(c);
    size_t end = at_;
    if (is_letter(c)) {
      while (end < source_.size() && (is_letter(source_[end]) || is_digit(source_[end]))) ++end;
      return add(Token::Kind::kName, end);
    }
    if (is_digit(c)) {
      while (end < source_.size() && is_digit(source_[end])) ++end;
      const bool point =
          end + 1 < source_.size() && source_[end] == '.' && is_digit(source_[end + 1]);
      if (!point) return add(Token::Kind::kInteger, end);
      for (++end; end < source_.size() && is_digit(source_[end]);) ++end;
      return add(Token::Kind::kFloat, end);
    }
    if (c == '{') ++braces_;
    if (c == '}') --braces_;
    const std::string_view two = std::string_view(source_).substr(at_, 2);
    const bool known =
        std::find(kTwoLetters.begin(), kTwoLetters.end(), two) != kTwoLetters.end() || two == "**";
    if (!known && std::string_view("+-*/%~<>=()[]{}.,:|").find(c) == std::string_view::npos) {
      refuse_template(path_, line(),
                      fmt::format("\"{}\" is not known", printable(std::string(1, c))));
    }
    add(Token::Kind::kOperator, at_ + (known ? 2 : 1));
  }

  void read_string(char quote) {
    std::string text;
    size_t i = at_ + 1;
    while (i < source_.size() && source_[i] != quote) {
      if (source_[i] == '\\' && i + 1 < source_.size()) {
        i = read_escape(i + 1, text);
      } else {
        text += source_[i++];
      }
    }
    if (i >= source_.size()) refuse_template(path_, line(), "a string has no end");
    tokens_.push_back({Token::Kind::kString, text, line()});
    at_ = i + 1;
  }

  /// What stands behind a backslash, as Python reads it. @return where the text goes on
  size_t read_escape(size_t at, std::string& text) {
    constexpr std::string_view kLetters = "abfnrtv\\'\"\n";
    constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
    const char c = source_[at];
    const size_t known = kLetters.find(c);
    if (known < kMeanings.size()) text += kMeanings[known];
    if (known != std::string_view::npos) return at + 1;  // a line break goes away
    const size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) {
      if (is_digit(c)) refuse_template(path_, line(), "octal escapes are not carried out");
      text += {'\\', c};
      return at + 1;
    }
    uint32_t point = 0;
    const char* begin = source_.data() + at + 1;
    const char* end = begin + std::min(digits, source_.size() - at - 1);
    const auto [stop, error] = std::from_chars(begin, end, point, 16);
    if (error != std::errc() || stop != begin + digits || !is_character(point)) {
      refuse_template(path_, line(),
                      fmt::format("the escape \\{} needs {} digits of a character", c, digits));
    }
    append_character(text, static_cast<char32_t>(point));
    return at + 1 + digits;
  }

  void add(Token::Kind kind, size_t end) {
    tokens_.push_back({kind, source_.substr(at_, end - at_), line()});
    at_ = end;
  }

  const std::string source_;
  const std::string& path_;
  size_t at_ = 0;
  size_t counted_ = 0;  ///< up to where lines are counted
  int line_ = 1;
  char trims_ =
      ' ';  ///< what the last tag takes from the text behind it: '-' all white space, 'n' a line break
  int braces_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> cut_template(const std::string& source, const std::string& path) {
  return Lexer(source, path).run();
}

void refuse_template(const std::string& path, int line, const std::string& why) {
  throw UnsupportedError(
      {.code = "TPL_UNSUPPORTED",
       .message =
           fmt::format("the chat template cannot be carried out exactly: line {}: {}", line, why),
       .path = path,
       .hint = "render the conversations with transformers' apply_chat_template, and give the text "
               "with `parse-special-tokens`"});
}

}  // namespace regroup::chat
