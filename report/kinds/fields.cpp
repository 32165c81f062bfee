#include "kinds/fields.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"

namespace regroup {
namespace {

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

bool has_field(const Json& json, const char* key, Json::value_t type) {
  const auto found = json.find(key);
  return found != json.end() && found->type() == type;
}

const Json& object_in(const Json& json, const std::string& key) {
  static const Json kEmpty = Json::object();
  const auto found = json.find(key);
  return found != json.end() && found->is_object() ? *found : kEmpty;
}

std::string text_of(const JsonFields& fields, const char* key) {
  return fields.string(key).value_or("");
}

int64_t count_of(const JsonFields& fields, const char* key) {
  return fields.integer(key, 0, INT64_MAX).value_or(0);
}

void wrong_type(const std::string& path, const std::string& what) {
  throw CheckpointError({.code = "CFG_TYPE", .message = what, .path = path});
}

NamedTexts named_texts(const Json& object) {
  NamedTexts texts;
  for (const auto& [key, value] : object.items()) texts.emplace_back(key, as_text(value));
  return texts;
}

const Json& objects_in(const Json& json, const char* key, const std::string& path) {
  static const Json kNone = Json::array();
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return kNone;
  const bool objects =
      found->is_array() &&
      std::all_of(found->begin(), found->end(), [](const Json& j) { return j.is_object(); });
  if (!objects) wrong_type(path, "\"" + std::string(key) + "\" must be a list of objects");
  return *found;
}

std::vector<std::string> texts_in(const Json& json, const char* key) {
  std::vector<std::string> texts;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_array()) return texts;
  for (const Json& value : *found) texts.push_back(as_text(value));
  return texts;
}

Json pairs_json(const NamedTexts& pairs) {
  Json json = Json::array();
  for (const auto& [name, text] : pairs) json.push_back({{"name", name}, {"value", text}});
  return json;
}

}  // namespace regroup
