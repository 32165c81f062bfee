#include "command_shape.h"

#include <algorithm>

#include "flag_values.h"
#include "regroup/convert/method.h"

namespace regroup {
namespace {

/// "{auto,cpu,cuda:N}" in a type's name -> auto, cpu; none where there are no braces.
std::vector<std::string> words_in(const std::string& type) {
  std::vector<std::string> found;
  const size_t open = type.find('{');
  const size_t close = type.find('}', open);
  if (open == std::string::npos || close == std::string::npos) return found;
  for (size_t at = open + 1; at < close;) {
    const size_t end = std::min(type.find(',', at), close);
    const std::string word = type.substr(at, end - at);
    if (!word.ends_with(":N")) found.push_back(word);  // stands for any number
    at = end + 1;
  }
  return found;
}

std::string first_clause(const std::string& text) { return text.substr(0, text.find(';')); }

FlagShape shape_of(const CLI::Option& option, const std::string& name) {
  FlagShape shape{.name = name, .what = first_clause(option.get_description()), .words = {}};
  const std::string type = option.get_type_name();
  if (type == kMethod) {
    shape.words = method_names();
  } else if (type == kGrouping) {
    shape.words = grouping_names();
  } else {
    shape.words = words_in(type);
  }
  shape.kind = option.get_expected_max() == 0 ? ValueKind::kNothing
               : !shape.words.empty()         ? ValueKind::kWords
               : type == kFile                ? ValueKind::kFile
               : type == kFolder              ? ValueKind::kFolder
                                              : ValueKind::kText;
  shape.several = option.get_expected_max() > 1;
  return shape;
}

CommandShape shape_of(const CLI::App& app, const std::string& name) {
  CommandShape shape{.name = name, .what = app.get_description(), .flags = {}, .arguments = {}};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& flag : option->get_lnames()) {
      if (flag == "help" && !name.empty()) continue;  // of every command
      shape.flags.push_back(shape_of(*option, "--" + flag));
    }
    const std::string place = option->get_name(/*positional=*/true);
    if (option->get_positional()) shape.arguments.push_back(shape_of(*option, place));
  }
  return shape;
}

}  // namespace

std::vector<CommandShape> command_shapes(const CLI::App& root) {
  std::vector<CommandShape> shapes = {shape_of(root, "")};
  for (const CLI::App* command : root.get_subcommands([](const CLI::App*) { return true; })) {
    shapes.push_back(shape_of(*command, command->get_name()));
  }
  return shapes;
}

}  // namespace regroup
