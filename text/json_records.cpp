#include "json_records.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "regroup/base/error.h"
#include "text_checks.h"

namespace regroup {
namespace {

constexpr JsonLimits kRecord{.bytes = 16 << 20};
constexpr std::string_view kSpace = " \t\r\n";

using Visit = std::function<bool(const Json&, const std::string&)>;

[[noreturn]] void refuse(const char* code, const std::string& where, const std::string& message,
                         const std::string& hint = {}) {
  throw CheckpointError({.code = code, .message = message, .path = where, .hint = hint});
}

void require_size(size_t bytes, const std::string& where) {
  if (static_cast<int64_t>(bytes) <= kRecord.bytes) return;
  refuse("JSONL_LINE_LIMIT", where,
         fmt::format("must have at most {} bytes, found more", kRecord.bytes),
         "cut long documents into several");
}

bool visit_record(const TextBuffer& text, size_t bytes, const std::string& where,
                  const Visit& visit) {
  const std::string_view record = text.view().substr(0, bytes);
  require_text(record, text.offset(), where);
  return visit(parse_strict_json(record, where, kRecord), where);
}

void visit_lines(TextBuffer& text, const Visit& visit) {
  int64_t line_number = 1;
  size_t searched = 0;
  for (;;) {
    const size_t stop = text.view().find('\n', searched);
    const std::string where = fmt::format("{} line {}", text.path(), line_number);
    if (stop == std::string_view::npos) {
      require_size(text.view().size(), where);
      searched = text.view().size();
      if (text.more()) continue;
    }
    const size_t bytes = std::min(stop, text.view().size());
    require_size(bytes, where);
    const bool last = stop == std::string_view::npos;
    if (!is_blank(text.view().substr(0, bytes)) && !visit_record(text, bytes, where, visit)) return;
    if (last) return;
    text.take(bytes + 1);
    searched = 0;
    ++line_number;
  }
}

/// Finds the end of a JSON value that begins with a bracket, however it arrives in pieces.
class ValueEnd {
 public:
  /// @return the bytes of the value once `text`, which begins with it, holds all of it; else 0
  size_t find(std::string_view text) {
    for (; at_ < text.size(); ++at_) {
      const char c = text[at_];
      if (in_string_) {
        if (escaped_)
          escaped_ = false;
        else if (c == '\\')
          escaped_ = true;
        else if (c == '"')
          in_string_ = false;
      } else if (c == '"') {
        in_string_ = true;
      } else if (c == '{' || c == '[') {
        ++depth_;
      } else if ((c == '}' || c == ']') && --depth_ == 0) {
        return at_ + 1;
      }
    }
    return 0;
  }

 private:
  size_t at_ = 0;
  int depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

/// Takes white space. @return the character behind it; nothing at the end of the text
std::optional<char> next_character(TextBuffer& text) {
  for (;;) {
    const size_t n = text.view().find_first_not_of(kSpace);
    text.take(std::min(n, text.view().size()));
    if (n != std::string_view::npos) return text.view().front();
    if (!text.more()) return std::nullopt;
  }
}

/// Takes nothing, so that lines keep their numbers.
bool begins_with_bracket(TextBuffer& text) {
  for (;;) {
    const size_t n = text.view().find_first_not_of(kSpace);
    if (n != std::string_view::npos) return text.view()[n] == '[';
    if (static_cast<int64_t>(text.view().size()) > kRecord.bytes || !text.more()) return false;
  }
}

void visit_value(TextBuffer& text, const std::string& where, const Visit& visit, bool& goes_on) {
  ValueEnd end;
  size_t bytes = 0;
  while ((bytes = end.find(text.view())) == 0) {
    require_size(text.view().size(), where);
    if (!text.more()) {
      refuse("JSON_SYNTAX", where, "the file ends before it does",
             "the file may be incomplete; fetch it again");
    }
  }
  require_size(bytes, where);
  goes_on = visit_record(text, bytes, where, visit);
  text.take(bytes);
}

/// Objects between '[' and ']' with commas, or simply one after the other.
void visit_values(TextBuffer& text, bool in_array, const Visit& visit) {
  if (in_array) text.take(1);
  bool goes_on = true;
  for (int64_t i = 1; goes_on; ++i) {
    const std::string where = fmt::format("{} record {}", text.path(), i);
    std::optional<char> c = next_character(text);
    if (in_array && i > 1 && c == ',') {
      text.take(1);
      c = next_character(text);
    } else if (in_array && c == ']') {
      text.take(1);
      if (!next_character(text)) return;
      refuse("JSON_SYNTAX", text.path(), "must end behind its array, found more");
    } else if (in_array && i > 1 && c) {
      refuse("JSON_SYNTAX", where, "must follow a comma");
    }
    if (!c && !in_array) return;
    if (c != '{' && c != '[') {
      if (!c) refuse("JSON_SYNTAX", where, "the file ends inside its array");
      refuse("TEXT_FIELD", where, "must be an object {...} that holds the text in one of its keys");
    }
    visit_value(text, where, visit, goes_on);
  }
}

}  // namespace

void visit_json_records(TextBuffer& text, bool by_line, const Visit& visit) {
  // A file that begins with a bracket is an array, whatever its name is.
  const bool in_array = begins_with_bracket(text);
  if (by_line && !in_array) return visit_lines(text, visit);
  next_character(text);
  visit_values(text, in_array, visit);
}

}  // namespace regroup
