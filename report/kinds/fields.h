#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "regroup/base/strict_json.h"
#include "regroup/results/fields.h"

namespace regroup {

/// True if `json` has `key` with a value of `type`.
bool has_field(const Json& json, const char* key, Json::value_t type);
/// A list, not an object: a name may come twice.
Json pairs_json(const NamedTexts& pairs);
template <typename T>
Json list_json(const std::vector<T>& items, Json (*to_json)(const T&)) {
  Json json = Json::array();
  for (const T& item : items) json.push_back(to_json(item));
  return json;
}

}  // namespace regroup
