#pragma once

#include <toml++/toml.h>

#include <string>
#include <string_view>
#include <vector>

namespace regroup {

/// Parses the text of a recipe as TOML.
/// @throws ConfigError RECIPE_SYNTAX, RECIPE_DUPLICATE, each with line and column
toml::table parse_toml(std::string_view text, const std::string& path);

/// The text of a recipe, by line and column.
class RecipeText {
 public:
  explicit RecipeText(std::string_view text);
  /// The characters of a region on one line; "" for several lines, and far to the right.
  std::string_view at(const toml::source_region& region) const;

 private:
  std::string_view text_;
  std::vector<size_t> line_starts_;
};

}  // namespace regroup
