#include "template_value.h"

#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/utf8.h"
#include "text_checks.h"

namespace regroup::chat {
namespace {

/// repr() of a float: the shortest that reads back, always with a point or an exponent.
std::string python_float(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".einf") == std::string::npos) text += ".0";
  return text;
}

std::string quoted(const std::string& text) {
  const bool single = text.find('\'') != std::string::npos && text.find('"') == std::string::npos;
  const char quote = single ? '"' : '\'';
  std::string out(1, quote);
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      if (c == quote || c == '\\') out += '\\';
      out += c;
    }
  }
  return out + quote;
}

}  // namespace

Value Value::part(const Value& whole, const Json& part) {
  Value value;
  value.kind = Kind::kData;
  value.data_ = std::shared_ptr<const Json>(whole.data_, &part);
  return value;
}

Value Value::function(std::string name) {
  Value value;
  value.kind = Kind::kFunction;
  value.name = std::move(name);
  return value;
}

Value Value::macro(const MacroNode& node) {
  Value value;
  value.kind = Kind::kMacro;
  value.node = &node;
  return value;
}

Value Value::make_namespace() {
  Value value;
  value.kind = Kind::kNamespace;
  value.members = std::make_shared<Members>();
  return value;
}

bool Value::truth() const {
  if (!is_data()) return defined();
  if (data().is_null()) return false;
  if (data().is_boolean()) return data().get<bool>();
  if (data().is_number()) return data().get<double>() != 0;
  if (data().is_string()) return !text().empty();
  return !data().empty();
}

bool equal(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) {
    return a.size() == b.size() &&
           std::all_of(a.items().begin(), a.items().end(), [&](const auto& one) {
             const auto found = b.find(one.key());
             return found != b.end() && equal(one.value(), *found);
           });
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), equal);
  }
  return a == b;
}

std::string represented(const Json& json) {
  if (json.is_null()) return "None";
  if (json.is_boolean()) return json.get<bool>() ? "True" : "False";
  if (json.is_number_float()) return python_float(json.get<double>());
  if (json.is_string()) return quoted(json.get<std::string>());
  if (!json.is_structured()) return json.dump();
  std::string out;
  for (const auto& [key, value] : json.items()) {
    if (!out.empty()) out += ", ";
    if (json.is_object()) out += quoted(key) + ": ";
    out += represented(value);
  }
  return json.is_object() ? "{" + out + "}" : "[" + out + "]";
}

std::string printed(const Value& value) {
  if (value.is_string()) return value.text();
  return value.is_data() ? represented(value.data()) : std::string();
}

std::string dumped(const Json& json, int indent, int depth) {
  if (json.is_number_float()) return python_float(json.get<double>());
  if (!json.is_structured()) return json.dump();
  const bool object = json.is_object();
  if (json.empty()) return object ? "{}" : "[]";
  const std::string line =
      indent < 0 ? "" : "\n" + std::string(static_cast<size_t>(indent * (depth + 1)), ' ');
  std::string out;
  for (const auto& [key, value] : json.items()) {
    if (!out.empty()) out += indent < 0 ? ", " : ",";
    out += line;
    if (object) out += Json(key).dump() + ": ";
    out += dumped(value, indent, depth + 1);
  }
  if (indent >= 0) out += "\n" + std::string(static_cast<size_t>(indent * depth), ' ');
  return object ? "{" + out + "}" : "[" + out + "]";
}

std::vector<size_t> character_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t at = 0; at < text.size(); ++at) {
    if ((static_cast<unsigned char>(text[at]) & 0xC0) != 0x80) starts.push_back(at);
  }
  starts.push_back(text.size());
  return starts;
}

std::string stripped(std::string_view text, bool left, bool right,
                     const std::optional<std::string>& of) {
  std::vector<uint32_t> characters;
  for (std::string_view rest = of ? std::string_view(*of) : ""; !rest.empty();) {
    const CodePoint c = decode_front(rest);
    characters.push_back(c.value);
    rest.remove_prefix(std::max<size_t>(1, c.length));
  }
  const auto goes = [&](uint32_t c) {
    return of ? std::find(characters.begin(), characters.end(), c) != characters.end()
              : is_python_space(c);
  };
  while (left && !text.empty()) {
    const CodePoint c = decode_front(text);
    if (!goes(c.value)) break;
    text.remove_prefix(std::max<size_t>(1, c.length));
  }
  while (right && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (!goes(decode_front(text.substr(at)).value)) break;
    text.remove_suffix(text.size() - at);
  }
  return std::string(text);
}

}  // namespace regroup::chat
