#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/report/report.h"

namespace regroup {

// Reading result files: a key that is absent leaves its field empty, a key of the wrong type is an error that names file
// and key. And writing what the JSON of a report repeats.

/// True if `json` has `key` with a value of `type`.
bool has_field(const Json& json, const char* key, Json::value_t type);
/// The object `key`; an empty one where there is none.
const Json& object_in(const Json& json, const std::string& key);
/// The elements of the array `key`, which must all be objects.
const Json& objects_in(const Json& json, const char* key, const std::string& path);
std::string text_of(const JsonFields& fields, const char* key);
int64_t count_of(const JsonFields& fields, const char* key);
std::vector<std::string> texts_in(const Json& json, const char* key);
NamedTexts named_texts(const Json& object);
/// @throws CheckpointError CFG_TYPE
[[noreturn]] void wrong_type(const std::string& path, const std::string& what);

template <typename T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json();
}
/// A list, not an object: a name may come twice.
Json pairs_json(const NamedTexts& pairs);
template <typename T>
Json list_json(const std::vector<T>& items, Json (*to_json)(const T&)) {
  Json json = Json::array();
  for (const T& item : items) json.push_back(to_json(item));
  return json;
}

}  // namespace regroup
