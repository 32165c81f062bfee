#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace regroup {

/// Turns CLI11's words about a recipe into ours: file, key, nearest known key.
[[noreturn]] void refuse_recipe(const CLI::App& root, const std::string& what);
[[noreturn]] void refuse_missing_recipe(const CLI::App& root);

/// One key of a recipe: section ("convert"), key ("kv-heads") and its values.
struct RecipeEntry {
  std::string section;
  std::string key;
  std::vector<std::string> values;
};

/// Reads a recipe without applying it. @throws ConfigError RECIPE_*
std::vector<RecipeEntry> read_recipe(const std::string& path);

}  // namespace regroup
