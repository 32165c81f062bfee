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

/// The keys of a recipe as they stand in the file.
class Recipe {
 public:
  explicit Recipe(std::vector<RecipeEntry> entries) : entries_(std::move(entries)) {}
  const std::vector<RecipeEntry>& entries() const { return entries_; }
  bool has_section(const std::string& section) const;
  /// Empty when the key is absent.
  std::vector<std::string> values(const std::string& section, const std::string& key) const;

 private:
  std::vector<RecipeEntry> entries_;
};

/// Reads a recipe without applying it. @throws ConfigError RECIPE_*
Recipe read_recipe(const std::string& path);

}  // namespace regroup
