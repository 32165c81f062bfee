#include "part_reader.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "part_errors.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

void add_parts(const Json& value, const char* role, const char* list, const std::string& path,
               std::vector<Part>& parts) {
  Part part(value, role, path);
  if (part.type() != "Sequence") {
    parts.push_back(std::move(part));
    return;
  }
  const Json* inner = part.find(list);
  if (inner == nullptr || !inner->is_array()) {
    wrong_part(path, "TOK_PART",
               fmt::format("a Sequence of {} must hold a list \"{}\"", role, list));
  }
  for (const Json& each : *inner) add_parts(each, role, list, path, parts);
}

}  // namespace

std::optional<ByteRange> TextPattern::find(std::string_view text, size_t from) const {
  if (regex_) return regex_->find(text, from);
  const size_t found = text.find(text_, from);
  if (found == std::string_view::npos) return std::nullopt;
  return ByteRange{.begin = found, .end = found + text_.size()};
}

Part::Part(const Json& object, std::string role, const std::string& path)
    : object_(&object), role_(std::move(role)), path_(path) {
  const auto type = object.is_object() ? object.find("type") : object.end();
  if (!object.is_object() || type == object.end() || !type->is_string()) {
    wrong_part(path, "TOK_PART",
               fmt::format("each part of \"{}\" must be an object with a \"type\"", role_));
  }
  type_ = type->get<std::string>();
}

const Json* Part::find(const char* key) const {
  const auto value = object_->find(key);
  return value == object_->end() || value->is_null() ? nullptr : &*value;
}

std::string Part::string(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_string()) wrong(key, "a string");
  return value->get<std::string>();
}

bool Part::boolean(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr || !value->is_boolean()) wrong(key, "true or false");
  return value->get<bool>();
}

bool Part::boolean(const char* key, bool otherwise) const {
  return find(key) == nullptr ? otherwise : boolean(key);
}

int64_t Part::count(const char* key) const {
  const Json* value = find(key);
  const bool fits =
      value != nullptr && value->is_number_unsigned() && value->get<uint64_t>() <= INT32_MAX;
  if (!fits) wrong(key, "a number from 0 on");
  return value->get<int64_t>();
}

TextPattern Part::pattern(const char* key) const {
  const Json* value = find(key);
  const auto member = [&](const char* kind) -> const Json* {
    if (value == nullptr || !value->is_object()) return nullptr;
    const auto found = value->find(kind);
    return found == value->end() || !found->is_string() ? nullptr : &*found;
  };
  if (const Json* text = member("String");
      text != nullptr && !text->get_ref<const std::string&>().empty())
    return TextPattern(text->get<std::string>());
  if (const Json* regex = member("Regex"))
    return TextPattern(Regex(regex->get_ref<const std::string&>(), path_));
  wrong(key, "{\"String\": text} or {\"Regex\": pattern}");
}

void Part::refuse() const { refuse("is not one that regroup carries out"); }

void Part::refuse(const std::string& what) const {
  refuse_part(path_, fmt::format("the {} {} {}", role_, printable(type_), what));
}

void Part::wrong(const char* key, const std::string& rule) const {
  const Json* value = find(key);
  wrong_part(path_, "TOK_PART",
             fmt::format("\"{}\" of the {} {} must be {}, found {}", key, role_, printable(type_),
                         rule, value == nullptr ? "nothing" : printable(value->dump())));
}

std::vector<Part> parts_of(const Json* root, const char* role, const char* list,
                           const std::string& path) {
  std::vector<Part> parts;
  if (root != nullptr && !root->is_null()) add_parts(*root, role, list, path, parts);
  return parts;
}

}  // namespace regroup
