#pragma once

#include <string>
#include <vector>

namespace regroup {

/// A model in the cache of huggingface_hub lies in models--ORG--NAME/snapshots/COMMIT.
bool is_hub_cache_of_a_model(const std::string& folder);
/// "models--example--tiny" -> "example/tiny"
std::string hub_name(const std::string& folder_name);
/// The snapshots that hold a config.json, as paths; the one that `main` means comes first.
std::vector<std::string> hub_snapshots(const std::string& folder);
/// "/.../snapshots/0123 or /.../snapshots/4567"; "" without any.
std::string hub_snapshots_text(const std::string& folder);
/// True for "org/name", which is a name on the hub as much as a path.
bool looks_like_hub_name(const std::string& path);
/// Where this user's cache would keep `name`; "" when it does not.
std::string hub_cached(const std::string& name);

}  // namespace regroup
