#include <fmt/format.h>

#include "regroup/base/words.h"
#include "shells.h"

namespace regroup {
namespace {

/// `text` inside single quotes, where [, ] and : part what _arguments reads.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\'') {
      result += "'\\''";
      continue;
    }
    if (c == '[' || c == ']' || c == ':' || c == '\\') result += '\\';
    result += c;
  }
  return result;
}

std::string action_of(const FlagShape& shape) {
  switch (shape.kind) {
    case ValueKind::kFile:
      return "file:_files";
    case ValueKind::kFolder:
      return "folder:_files -/";
    case ValueKind::kWords:
      return "word:(" + join(shape.words, " ") + ")";
    default:
      return "value: ";
  }
}

std::string flag_spec(const FlagShape& flag) {
  const bool value = flag.kind != ValueKind::kNothing;
  return fmt::format("'{}{}{}[{}]{}'", flag.several ? "*" : "", flag.name, value ? "=" : "",
                     escaped(flag.what), value ? ":" + action_of(flag) : "");
}

std::string specs_of(const CommandShape& command, const std::string& indent) {
  std::string text;
  for (const FlagShape& flag : command.flags) text += indent + flag_spec(flag) + "\n";
  for (size_t i = 0; i < command.arguments.size(); ++i) {
    const FlagShape& argument = command.arguments[i];
    const std::string place = argument.several ? "*" : std::to_string(i + 1);
    text += fmt::format("{}'{}:{}'\n", indent, place, action_of(argument));
  }
  return text;
}

}  // namespace

std::string zsh_completion(const std::vector<CommandShape>& commands) {
  std::string names, cases;
  for (const CommandShape& command : commands) {
    if (command.name.empty()) continue;
    names += fmt::format("    '{}:{}'\n", command.name, escaped(command.what));
    cases += fmt::format("      {})\n        specs=(\n{}        ) ;;\n", command.name,
                         specs_of(command, "          "));
  }
  return "#compdef regroup\n# Completion of regroup for zsh; made by its build.\n_regroup() {\n"
         "  local state\n  local -a commands globals specs\n  commands=(\n" +
         names + "  )\n  globals=(\n" + specs_of(commands.front(), "    ") +
         "  )\n  _arguments -C $globals '1:command:->command' '*::argument:->argument'\n"
         "  case $state in\n    command) _describe command commands ;;\n    argument)\n"
         "      case $words[1] in\n" +
         cases +
         "      esac\n      _arguments $globals $specs ;;\n  esac\n}\n"
         "if [[ ${funcstack[1]} == _regroup ]]; then\n  _regroup \"$@\"\nelse\n"
         "  compdef _regroup regroup\nfi\n";
}

}  // namespace regroup
