#include "regroup/checkpoint/documents.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/strict_json.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr JsonLimits kLine{.bytes = 16 << 20};

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint = {}) {
  throw CheckpointError(
      {.code = code, .message = message, .path = path, .tensor = {}, .hint = hint});
}

/// What str.isspace() and \s of Python take for white space: the property White_Space of Unicode and
/// the four information separators.
bool is_python_space(uint32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

/// Reads .txt and .jsonl whole: tokenizing needs a document in one piece, and one document may be
/// the whole file.
std::string read_text(const std::string& path) {
  std::string text = InputFile(path).read_all();
  if (text.find('\0') != std::string::npos) {
    refuse("TEXT_BINARY", path,
           fmt::format("must be text, found a NUL byte at byte {}", text.find('\0')),
           "is this a token file? Token files end in .bin");
  }
  if (const size_t valid = utf8_prefix(text); valid < text.size()) {
    refuse("TEXT_UTF8", path,
           fmt::format("must be UTF-8 text, found another byte at byte {}", valid),
           "convert it with iconv, or fetch it again");
  }
  if (is_blank(text)) {
    refuse("TEXT_EMPTY", path, "must hold some text, found none",
           "check that this is the right file");
  }
  return text;
}

int64_t split_text(std::string_view text, const std::string& separator,
                   const std::function<void(std::string_view)>& visit) {
  int64_t documents = 0;
  for (size_t start = 0; start <= text.size();) {
    size_t stop = separator.empty() ? std::string_view::npos : text.find(separator, start);
    const bool last = stop == std::string_view::npos;
    if (last) stop = text.size();
    const std::string_view document = text.substr(start, stop - start);
    if (!is_blank(document)) {
      visit(document);
      ++documents;
    }
    if (last) break;
    start = stop + separator.size();
  }
  return documents;
}

int64_t split_jsonl(std::string_view text, const std::string& path, const std::string& field,
                    const std::function<void(std::string_view)>& visit) {
  int64_t documents = 0;
  int64_t line_number = 0;
  for (size_t start = 0; start < text.size();) {
    const size_t stop = std::min(text.find('\n', start), text.size());
    const std::string_view line = text.substr(start, stop - start);
    start = stop + 1;
    ++line_number;
    if (is_blank(line)) continue;
    const std::string where = fmt::format("{} line {}", path, line_number);
    if (static_cast<int64_t>(line.size()) > kLine.bytes) {
      refuse("JSONL_LINE_LIMIT", where,
             fmt::format("must have at most {} bytes, found {}", kLine.bytes, line.size()));
    }
    const Json object = parse_strict_json(line, where, kLine);
    if (!object.is_object() || !object.contains(field) || !object[field].is_string()) {
      refuse("TEXT_FIELD", where, fmt::format("must be an object with a string \"{}\"", field),
             "name the key that holds the text with --field");
    }
    const auto& document = object[field].get_ref<const std::string&>();
    if (is_blank(document)) continue;
    visit(document);
    ++documents;
  }
  return documents;
}

}  // namespace

std::string parse_separator(const std::string& text) {
  std::string separator;
  for (size_t i = 0; i < text.size(); ++i) {
    const char next = text[i] == '\\' && i + 1 < text.size() ? text[i + 1] : '\0';
    if (next == 'n' || next == 't' || next == '\\') {
      separator += next == 'n' ? '\n' : next == 't' ? '\t' : '\\';
      ++i;
    } else {
      separator += text[i];
    }
  }
  return separator;
}

bool is_text_file(const std::string& path) {
  return path.ends_with(".txt") || path.ends_with(".jsonl");
}

void require_text_file(const std::string& path, const std::string& hint) {
  if (is_text_file(path)) return;
  InputFile{path};  // a folder, or no file at all, is not a matter of its name
  throw UnsupportedError({.code = "TEXT_KIND",
                          .message = "text files must end in .txt or .jsonl",
                          .path = path,
                          .tensor = {},
                          .hint = hint});
}

int64_t read_documents(const std::string& path, const DocumentOptions& options,
                       const std::function<void(std::string_view)>& visit) {
  require_text_file(path);
  const std::string text = read_text(path);
  const int64_t documents = path.ends_with(".txt") ? split_text(text, options.separator, visit)
                                                   : split_jsonl(text, path, options.field, visit);
  if (documents == 0) {
    refuse("TEXT_EMPTY", path, "must hold at least one document, found none",
           "check that this is the right file");
  }
  return documents;
}

int64_t count_words(std::string_view text) {
  int64_t pieces = 1;
  bool in_space = false;
  for (size_t at = 0; at < text.size();) {
    const CodePoint c = decode_front(text.substr(at));
    const bool space = is_python_space(c.value);  // a cut character counts as a letter
    pieces += space && !in_space;
    in_space = space;
    at += std::max<size_t>(1, c.length);
  }
  return pieces;
}

}  // namespace regroup
