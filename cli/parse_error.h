#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace regroup {

std::vector<std::string> command_names(const CLI::App& root);

/// @throws ConfigError COMMAND_UNKNOWN, with the nearest command
[[noreturn]] void refuse_command(const CLI::App& root, const std::string& found);

/// What the parser of flags complains about, in our words: what must hold and what was found.
/// @param root  the program, or the command that the flag belongs to
std::string explain(const CLI::App& root, const CLI::ParseError& error);

/// What the parser of flags complains about, in our words: what must hold, what was found, what to do.
/// @throws ConfigError FLAG_VALUE, FLAG_MISSING, FLAG_UNKNOWN, COMMAND_UNKNOWN, ARGUMENT_UNKNOWN
[[noreturn]] void refuse_arguments(const CLI::App& root, const CLI::ParseError& error);

/// "see regroup COMMAND --help" of the command in use.
std::string see_help(const CLI::App& root);

}  // namespace regroup
