// The config.json of a conversion: the parent's, but for what changes.
#include <nlohmann/json.hpp>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/config.h"
#include "regroup/checkpoint/family.h"

namespace regroup {

std::string rewrite_config(const ModelFamily& family, const std::string& config_text,
                           int64_t n_kv_heads, const std::string& dtype, const std::string& path) {
  const Json before = parse_strict_json(config_text, path, kConfigJson);
  const std::string key(family.keys.kv_heads);
  const std::string grouped(family.keys.grouped);
  const bool counts =
      grouped.empty() || JsonFields(before, path).boolean(grouped.c_str()).value_or(false);
  Json after = Json::object();
  auto& members = after.get_ref<Json::object_t&>();  // after[name] would look for each name
  for (const auto& [name, value] : before.items()) {
    members.emplace_back(name, value);
    if (counts && name == "num_attention_heads" && !before.contains(key))
      members.emplace_back(key, n_kv_heads);
  }
  if (counts) after[key] = n_kv_heads;
  if (!dtype.empty()) {
    const bool has_dtype = before.contains("dtype");
    if (has_dtype || !before.contains("torch_dtype")) after["dtype"] = dtype;
    if (before.contains("torch_dtype") || !has_dtype) after["torch_dtype"] = dtype;
  }
  return after == before ? config_text : after.dump(2) + "\n";
}

}  // namespace regroup
