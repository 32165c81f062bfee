#include <fmt/format.h>

#include "regroup/base/words.h"
#include "shells.h"

namespace regroup {
namespace {

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

/// -x: a value and no files; -r -F: a value, which is a file.
std::string action_of(const FlagShape& shape) {
  switch (shape.kind) {
    case ValueKind::kNothing:
      return "";
    case ValueKind::kFile:
      return " -r -F";
    case ValueKind::kFolder:
      return " -x -a '(__fish_complete_directories)'";
    case ValueKind::kWords:
      return " -x -a " + quoted(join(shape.words, " "));
    default:
      return " -x";
  }
}

std::string lines_of(const CommandShape& command) {
  const std::string condition =
      command.name.empty() ? "" : fmt::format(" -n '__fish_seen_subcommand_from {}'", command.name);
  std::string text;
  for (const FlagShape& flag : command.flags) {
    text += fmt::format("complete -c regroup{} -l {}{} -d {}\n", condition, flag.name.substr(2),
                        action_of(flag), quoted(flag.what));
  }
  bool file = false;
  for (const FlagShape& argument : command.arguments) file |= argument.kind == ValueKind::kFile;
  if (command.arguments.empty()) return text;
  return text + fmt::format("complete -c regroup{} {}\n", condition,
                            file ? "-F" : "-f -a '(__fish_complete_directories)'");
}

}  // namespace

std::string fish_completion(const std::vector<CommandShape>& commands) {
  std::string text =
      "# Completion of regroup for fish; made by its build.\ncomplete -c regroup -f\n";
  for (const CommandShape& command : commands) {
    if (command.name.empty()) continue;
    text += fmt::format("complete -c regroup -n __fish_use_subcommand -a {} -d {}\n", command.name,
                        quoted(command.what));
  }
  for (const CommandShape& command : commands) text += lines_of(command);
  return text;
}

}  // namespace regroup
