#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace regroup {

/// What stands behind a flag, or in the place of an argument.
enum class ValueKind { kNothing, kText, kFile, kFolder, kWords };

struct FlagShape {
  std::string name;  ///< "--kv-heads"; of an argument "MODEL"
  std::string what;  ///< from --help, up to its first semicolon
  ValueKind kind = ValueKind::kText;
  std::vector<std::string> words;  ///< what a value may be, for kWords
  bool several = false;            ///< takes several values
};

/// A command as a shell completes it.
struct CommandShape {
  std::string name;  ///< "" for the flags that every command has
  std::string what;
  std::vector<FlagShape> flags;
  std::vector<FlagShape> arguments;  ///< by their place
};

/// The program's own flags first, then every command in the order of --help.
std::vector<CommandShape> command_shapes(const CLI::App& root);

}  // namespace regroup
