#pragma once

#include <string>

#include "command.h"

namespace regroup {

/// Every flag of `command` with its resolved value, as a recipe that sets the same again. Flags that were left
/// out and have no default are not in it.
std::string resolved_recipe(const Globals& globals, const CLI::App& command);

/// A flag's text as a value of TOML: a number or a boolean as it is, anything else in quotes.
std::string recipe_value(const std::string& text);

}  // namespace regroup
