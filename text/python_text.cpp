#include "regroup/text/python_text.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "regroup/base/utf8.h"
#include "text_checks.h"

namespace regroup {
namespace {

// The only character whose lower case is two, wherever it stands.
constexpr uint32_t kDottedCapitalI = 0x130;

/// Where the last character of `text`, which is not empty, begins.
size_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
  return at;
}

/// Each character as `mapped` gives it; what is not UTF-8 stays.
std::string in_case(std::string_view text, utf8proc_int32_t (*mapped)(utf8proc_int32_t)) {
  std::string out;
  while (!text.empty()) {
    const CodePoint c = decode_front(text);
    if (c.length == 0) {
      out += text.front();
    } else if (mapped == utf8proc_tolower && c.value == kDottedCapitalI) {
      out += "i\xCC\x87";
    } else {
      std::array<utf8proc_uint8_t, 4> bytes{};
      const auto n =
          utf8proc_encode_char(mapped(static_cast<utf8proc_int32_t>(c.value)), bytes.data());
      out.append(reinterpret_cast<const char*>(bytes.data()), static_cast<size_t>(n));
    }
    text.remove_prefix(std::max<size_t>(1, c.length));
  }
  return out;
}

/// str.isprintable() of a character.
bool is_python_printable(uint32_t c) {
  if (c == ' ') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

std::string python_escape(uint32_t c) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (c < 0x100) return fmt::format("\\x{:02x}", c);
  return c < 0x10000 ? fmt::format("\\u{:04x}", c) : fmt::format("\\U{:08x}", c);
}

}  // namespace

std::string_view python_rstrip(std::string_view text) {
  while (!text.empty()) {
    const size_t at = last_character(text);
    if (!is_python_space(decode_front(text.substr(at)).value)) break;
    text = text.substr(0, at);
  }
  return text;
}

std::string_view python_lstrip(std::string_view text) {
  while (!text.empty()) {
    const CodePoint c = decode_front(text);
    if (c.length == 0 || !is_python_space(c.value)) break;
    text.remove_prefix(c.length);
  }
  return text;
}

std::string_view python_strip(std::string_view text) { return python_lstrip(python_rstrip(text)); }

int64_t python_length(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xC0) != 0x80;  // not the middle of a character
  });
}

std::string python_capitalize(std::string_view text) {
  const size_t first = text.empty() ? 0 : std::max<size_t>(1, decode_front(text).length);
  return in_case(text.substr(0, first), utf8proc_totitle) + python_lower(text.substr(first));
}

std::string python_lower(std::string_view text) { return in_case(text, utf8proc_tolower); }

std::string python_replace(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  for (;;) {
    const size_t at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

std::string python_repr(std::string_view text) {
  const bool doubled = text.find('\'') != text.npos && text.find('"') == text.npos;
  const char quote = doubled ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const CodePoint c = decode_front(text);
    const size_t length = std::max<size_t>(1, c.length);
    if (c.length == 1 && (c.value == '\\' || c.value == static_cast<uint32_t>(quote))) {
      out += '\\';
    }
    out += c.length > 0 && !is_python_printable(c.value) ? python_escape(c.value)
                                                         : std::string(text.substr(0, length));
    text.remove_prefix(length);
  }
  return out + quote;
}

}  // namespace regroup
