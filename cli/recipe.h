#pragma once

#include <string>
#include <vector>

#include "recipe_place.h"

namespace regroup {

/// One key of a recipe: section ("convert", "" above the first), key ("kv-heads") and its values, as a user
/// would type them behind the flag.
struct RecipeEntry {
  std::string section;
  std::string key;
  std::vector<std::string> values;
  bool list = false;     ///< written with brackets
  std::string no_value;  ///< what stands there instead of a value that a flag could take: "a date"
  RecipePlace key_at;
  RecipePlace value_at;

  /// "convert.kv-heads"
  std::string name() const { return section.empty() ? key : section + "." + key; }
};

struct RecipeSection {
  std::string name;
  RecipePlace at;
};

/// A recipe as it stands in the file, in the file's order.
struct Recipe {
  std::string path;
  std::vector<RecipeSection> sections;
  std::vector<RecipeEntry> entries;

  bool has_section(const std::string& section) const;
  /// Empty when the key is absent.
  std::vector<std::string> values(const std::string& section, const std::string& key) const;
};

constexpr int64_t kMaxRecipeBytes = 1 << 20;

/// @param path  for messages
/// @throws ConfigError RECIPE_SYNTAX, RECIPE_DUPLICATE, LIMIT_FILE_SIZE
Recipe parse_recipe(std::string_view text, const std::string& path);

/// Reads a recipe without applying it. @throws ConfigError RECIPE_MISSING, and as parse_recipe
Recipe read_recipe(const std::string& path);

}  // namespace regroup
