#include <fmt/format.h>

#include <algorithm>

#include "regroup/base/words.h"
#include "shells.h"

namespace regroup {
namespace {

// COMMAND is "" before one is named. `action` receives the arguments of compgen.
constexpr const char* kBody = R"bash(
_regroup() {
  local cur=${COMP_WORDS[COMP_CWORD]} command= flag= at=0 several= word i
  local -a action=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    if [[ $word == -* ]]; then
      flag=$word at=$i
      _regroup_value "$command" "$word" && ((i++))
    elif [[ -z $command && " $_regroup_commands " == *" $word "* ]]; then
      command=$word flag=
    fi
  done
  if [[ $cur == '=' ]]; then
    cur= at=$((at + 1))
  elif [[ ${COMP_WORDS[at + 1]} == '=' ]]; then
    at=$((at + 1))
  fi
  action=() several=
  if [[ -n $flag && $cur != -* ]] && _regroup_value "$command" "$flag" &&
    [[ -n $several || $((COMP_CWORD - at)) -le 1 ]]; then
    :
  elif [[ $cur == -* ]]; then
    action=(-W "$(_regroup_flags "$command")")
  elif [[ -z $command ]]; then
    action=(-W "$_regroup_commands")
  else
    _regroup_argument "$command"
  fi
  COMPREPLY=()
  ((${#action[@]})) || return 0
  [[ ${action[0]} == -W ]] || compopt -o filenames 2>/dev/null
  mapfile -t COMPREPLY < <(compgen "${action[@]}" -- "$cur")
}
complete -F _regroup regroup
)bash";

std::string names_of(const std::vector<FlagShape>& flags) {
  std::vector<std::string> names;
  for (const FlagShape& flag : flags) names.push_back(flag.name);
  return join(names, " ");
}

std::string action_of(const FlagShape& shape) {
  switch (shape.kind) {
    case ValueKind::kFile:
      return "-f";
    case ValueKind::kFolder:
      return "-d";
    case ValueKind::kWords:
      return "-W '" + join(shape.words, " ") + "'";
    default:
      return "";
  }
}

/// A function that is one `case`.
std::string case_function(const std::string& name, const std::string& word,
                          const std::string& cases, const std::string& otherwise) {
  return fmt::format("{}() {{\n  case {} in\n{}    *) {} ;;\n  esac\n}}\n", name, word, cases,
                     otherwise);
}

std::string value_cases(const CommandShape& command) {
  std::string text;
  for (const FlagShape& flag : command.flags) {
    if (flag.kind == ValueKind::kNothing) continue;
    const std::string pattern = command.name.empty()
                                    ? fmt::format("*' {}'", flag.name)
                                    : fmt::format("'{} {}'", command.name, flag.name);
    text += fmt::format("    {}) action=({}){} ;;\n", pattern, action_of(flag),
                        flag.several ? " several=1" : "");
  }
  return text;
}

/// Files where any argument is one: folders complete among them.
std::string argument_case(const CommandShape& command) {
  if (command.arguments.empty()) return "";
  const bool file = std::ranges::any_of(command.arguments, [](const FlagShape& argument) {
    return argument.kind == ValueKind::kFile;
  });
  return fmt::format("    {}) action=({}) ;;\n", command.name, file ? "-f" : "-d");
}

}  // namespace

std::string bash_completion(const std::vector<CommandShape>& commands) {
  std::vector<std::string> names;
  std::string flags, values, arguments;
  const std::string globals = names_of(commands.front().flags);
  for (const CommandShape& command : commands) {
    values += value_cases(command);
    if (command.name.empty()) continue;
    names.push_back(command.name);
    flags +=
        fmt::format("    {}) echo '{} {}' ;;\n", command.name, names_of(command.flags), globals);
    arguments += argument_case(command);
  }
  return "# Completion of regroup for bash; made by its build.\n" +
         fmt::format("_regroup_commands='{}'\n\n", join(names, " ")) +
         case_function("_regroup_flags", "$1", flags, fmt::format("echo '{}'", globals)) +
         case_function("_regroup_value", "\"$1 $2\"", values, "return 1") +
         case_function("_regroup_argument", "$1", arguments, "action=()") + kBody;
}

}  // namespace regroup
