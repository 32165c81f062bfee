#include "recipe_place.h"

#include <fmt/format.h>

#include "regroup/base/error.h"

namespace regroup {

std::string to_string(const RecipePlace& place) {
  return fmt::format("line {}, column {}", place.line, place.column);
}

void refuse_recipe(const char* code, const std::string& path, const RecipePlace& place,
                   const std::string& message, const std::string& hint) {
  const bool recipe = path.ends_with(".toml") || path.starts_with("/dev/fd/");
  throw ConfigError({.code = code,
                     .message = fmt::format("{}: {}", to_string(place), message),
                     .path = path,
                     .hint = recipe ? hint
                                    : "a recipe is a TOML file, such as recipes/demo.toml; is this "
                                      "another file?"});
}

}  // namespace regroup
