#include "kinds/fields.h"

#include <nlohmann/json.hpp>

namespace regroup {

bool has_field(const Json& json, const char* key, Json::value_t type) {
  const auto found = json.find(key);
  return found != json.end() && found->type() == type;
}

Json pairs_json(const NamedTexts& pairs) {
  Json json = Json::array();
  for (const auto& [name, text] : pairs) json.push_back({{"name", name}, {"value", text}});
  return json;
}

}  // namespace regroup
