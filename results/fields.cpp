#include "regroup/results/fields.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"

namespace regroup {
namespace {

std::string as_text(const Json& value) {
  return value.is_string() ? value.get<std::string>()
                           : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename T>
Json value_or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}

/// @param key  may be a name that the file chose
[[noreturn]] void wrong_container(const std::string& key, const char* must, const Json& found,
                                  const std::string& path) {
  wrong_type(
      path, fmt::format("\"{}\" must be {}, found {}", printable(key, 120), must,
                        printable(found.dump(-1, ' ', false, Json::error_handler_t::replace), 40)));
}

}  // namespace

std::string format_in(const Json& json) {
  const auto found = json.is_object() ? json.find("format") : json.end();
  return json.is_object() && found != json.end() && found->is_string() ? found->get<std::string>()
                                                                       : std::string();
}

void refuse_format(const std::string& found, const std::string& must, const std::string& path) {
  throw CheckpointError(
      {.code = "RESULT_FORMAT",
       .message = fmt::format("must have the format {}, found {}", must, printable(found, 60)),
       .path = path,
       .hint =
           "read it with the version of regroup that wrote it, or make it again with this one"});
}

void require_format(const Json& json, const char* format, const std::string& path) {
  const auto found = json.find("format");
  if (found == json.end() || *found == format) return;
  if (found->is_string() && !found->get<std::string>().starts_with("regroup")) return;
  refuse_format(as_text(*found), format, path);
}

const Json& object_in(const Json& json, const std::string& key, const std::string& path) {
  static const Json kEmpty = Json::object();
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return kEmpty;
  if (!found->is_object()) wrong_container(key, "an object", *found, path);
  return *found;
}

std::string text_of(const JsonFields& fields, const char* key) {
  return fields.string(key).value_or("");
}

int64_t count_of(const JsonFields& fields, const char* key) {
  return fields.integer(key, 0, INT64_MAX).value_or(0);
}

std::optional<int64_t> optional_count(const JsonFields& fields, const char* key) {
  return fields.integer(key, 0, INT64_MAX);
}

Measured measured_in(const JsonFields& fields, const std::string& key) {
  return {fields.number(key.c_str()).value_or(0), fields.number((key + "_stderr").c_str())};
}

std::pair<double, double> interval_in(const JsonFields& fields, const char* key) {
  const Json* interval = fields.find(key);
  const bool whole = interval != nullptr && interval->is_array() && interval->size() == 2 &&
                     (*interval)[0].is_number() && (*interval)[1].is_number();
  if (!whole) wrong_type(fields.path(), fmt::format("\"{}\" must hold two numbers", key));
  return {(*interval)[0].get<double>(), (*interval)[1].get<double>()};
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
  if (!objects) wrong_container(key, "a list of objects", *found, path);
  return *found;
}

std::vector<std::string> texts_in(const Json& json, const std::string& key,
                                  const std::string& path) {
  std::vector<std::string> texts;
  const auto found = json.find(key);
  if (found == json.end() || found->is_null()) return texts;
  if (!found->is_array()) wrong_container(key, "a list of texts", *found, path);
  for (const Json& value : *found) texts.push_back(as_text(value));
  return texts;
}

Json optional_json(const std::optional<double>& value) { return value_or_null(value); }
Json optional_json(const std::optional<int64_t>& value) { return value_or_null(value); }
Json optional_json(const std::optional<bool>& value) { return value_or_null(value); }

}  // namespace regroup
