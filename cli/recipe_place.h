#pragma once

#include <cstdint>
#include <string>

namespace regroup {

/// A place in a recipe. Lines and columns count from 1, columns in characters.
struct RecipePlace {
  uint32_t line = 0;
  uint32_t column = 0;
  auto operator<=>(const RecipePlace&) const = default;
};

/// "line 3, column 12"
std::string to_string(const RecipePlace& place);

/// Refuses what stands at a place of a recipe.
/// @param hint  what to do; a file that by its name is no recipe has a hint of its own
/// @throws ConfigError  `code`: "line 3, column 12: `message`"
[[noreturn]] void refuse_recipe(const char* code, const std::string& path, const RecipePlace& place,
                                const std::string& message, const std::string& hint);

}  // namespace regroup
