#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "recipe_place.h"
#include "regroup/base/error.h"

namespace regroup {

/// Flags ("--kv-heads", also by their place: "MODEL") whose value a recipe gave, and where it stands.
using RecipeValues = std::map<std::string, RecipePlace>;

/// What the parser of flags reads --recipe with: it sets every flag that the command line has left out, and
/// refuses what is wrong with a key or its value where it stands.
class RecipeFlags : public CLI::Config {
 public:
  /// @param values  receives the flags of the command in use that were set
  RecipeFlags(CLI::App& root, RecipeValues& values) : root_(root), values_(values) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }
  /// @return nothing: the flags are set here, one by one
  /// @throws ConfigError RECIPE_*, FLAG_VALUE, LIMIT_FILE_SIZE
  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override;

 private:
  CLI::App& root_;
  RecipeValues& values_;
};

/// Adds to an error about a flag ("--context must be ...") that names no file yet the place of its value in
/// the recipe, if it came from there.
ErrorInfo with_recipe_place(ErrorInfo error, const RecipeValues& values, const std::string& recipe);

}  // namespace regroup
