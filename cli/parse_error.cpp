#include "parse_error.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "regroup/base/error.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

[[noreturn]] void refuse(const char* code, const std::string& message, const std::string& hint) {
  throw ConfigError({.code = code, .message = message, .hint = hint});
}

/// Flags of the command in use and of the root, as the user types them.
std::vector<std::string> flag_names(const CLI::App& root) {
  std::vector<std::string> names;
  const auto collect = [&](const CLI::App& app) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
  };
  collect(root);
  for (const CLI::App* command : root.get_subcommands()) collect(*command);
  return names;
}

bool looks_like_flag(const std::string& argument) {
  const bool number = argument.size() > 1 && (std::isdigit(argument[1]) != 0 || argument[1] == '.');
  return argument.size() > 1 && argument.front() == '-' && !number;
}

[[noreturn]] void refuse_extras(const CLI::App& root, const std::vector<std::string>& extras) {
  // Without a command everything is left over; the first word is the one meant as a command.
  const bool no_command = root.get_subcommands().empty();
  if (no_command && !extras.empty() && !looks_like_flag(extras.front())) {
    refuse_command(root, extras.front());
  }
  const auto flag = std::find_if(extras.begin(), extras.end(), looks_like_flag);
  if (flag != extras.end()) {
    const std::string near = nearest(flag->substr(0, flag->find('=')), flag_names(root));
    refuse("FLAG_UNKNOWN", fmt::format("unknown flag {}", printable(*flag)),
           near.empty() ? see_help(root) : fmt::format("did you mean {}?", near));
  }
  refuse("ARGUMENT_UNKNOWN",
         fmt::format("unexpected argument {}", extras.empty() ? "" : printable(extras.front())),
         see_help(root));
}

/// The option of a name as the parser puts it; null for a name that is none.
const CLI::Option* find_option(const CLI::App& root, const std::string& name) {
  const CLI::App& command = root.get_subcommands().empty() ? root : *root.get_subcommands().front();
  const CLI::Option* option = command.get_option_no_throw(name);
  return option != nullptr ? option : root.get_option_no_throw(name);
}

/// MODEL rather than --model: an argument is named by its place where it has one.
std::string name_of(const CLI::Option& option) {
  return option.get_positional() ? option.get_name(/*positional=*/true) : option.get_name();
}

/// "a whole number, or several separated by commas" from the type that the parser knows.
std::string wanted_by(const CLI::Option& option) {
  const std::string type = option.get_type_name();
  const std::string wanted = type.starts_with("INT")     ? "a whole number"
                             : type.starts_with("UINT")  ? "a whole number from 0 up"
                             : type.starts_with("FLOAT") ? "a number"
                             : type.empty()              ? "true or false"
                                                         : "of type " + type;
  return option.get_expected_max() > 1 ? wanted + ", or several separated by commas" : wanted;
}

/// "Could not convert: --lr = x" -> "--lr must be a number, found x".
std::string explain_conversion(const CLI::App& root, const std::string& what) {
  const size_t name_at = what.find(": ");
  const size_t value_at = what.find(" = ");
  if (name_at == std::string::npos || value_at == std::string::npos) return what;
  const CLI::Option* option = find_option(root, what.substr(name_at + 2, value_at - name_at - 2));
  if (option == nullptr) return what;
  return fmt::format("{} must be {}, found {}", name_of(*option), wanted_by(*option),
                     what.substr(value_at + 3));
}

/// "--lr: must be ..." of our validators (flag_values.h) -> "--lr must be ...".
std::string explain_validation(const std::string& what) {
  const size_t colon = what.find(": must ");
  return colon == std::string::npos ? what : what.substr(0, colon) + what.substr(colon + 1);
}

/// "--lr: 1 required FLOAT missing" and "--lr: At Most 1 required but received 2".
std::string explain_count(const CLI::App& root, const std::string& what) {
  const CLI::Option* option = find_option(root, what.substr(0, what.find(": ")));
  if (option == nullptr) return what;
  if (what.ends_with(" missing")) {
    return fmt::format("{} must be followed by its value, found none", option->get_name());
  }
  const std::string received = "received ";
  const size_t at = what.find(received);
  if (at == std::string::npos) return what;
  return fmt::format("{} must be given once, found {} values", name_of(*option),
                     what.substr(at + received.size()));
}

/// "--model is required" -> "MODEL is required".
std::string explain_required(const CLI::App& root, const std::string& what) {
  const size_t rest = what.find(" is required");
  const CLI::Option* option = find_option(root, what.substr(0, rest));
  if (option == nullptr || rest == std::string::npos) return what;
  return name_of(*option) + what.substr(rest);
}

template <typename Kind>
bool is(const CLI::ParseError& error) {
  return dynamic_cast<const Kind*>(&error) != nullptr;
}

}  // namespace

std::string see_help(const CLI::App& root) {
  const std::vector<CLI::App*> chosen = root.get_subcommands();
  return chosen.empty() ? "see regroup --help"
                        : fmt::format("see regroup {} --help", chosen.front()->get_name());
}

std::string explain(const CLI::App& root, const CLI::ParseError& error) {
  const std::string what = error.what();
  if (is<CLI::ConversionError>(error)) return explain_conversion(root, what);
  if (is<CLI::ValidationError>(error)) return explain_validation(what);
  if (is<CLI::ArgumentMismatch>(error)) return explain_count(root, what);
  if (is<CLI::RequiredError>(error)) return explain_required(root, what);
  return what;
}

std::vector<std::string> command_names(const CLI::App& root) {
  std::vector<std::string> names;
  for (const CLI::App* command : root.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

void refuse_command(const CLI::App& root, const std::string& found) {
  const std::string near = nearest(found, command_names(root));
  refuse("COMMAND_UNKNOWN", fmt::format("unknown command {}", printable(found)),
         near.empty() ? "see regroup --help" : fmt::format("did you mean {}?", near));
}

void refuse_arguments(const CLI::App& root, const CLI::ParseError& error) {
  const std::vector<std::string> extras = root.remaining(/*recurse=*/true);
  if (is<CLI::ExtrasError>(error)) refuse_extras(root, extras);
  const bool no_command = root.get_subcommands().empty();
  // A misspelt flag is also a missing one; its own name says more.
  const bool misspelt = std::any_of(extras.begin(), extras.end(), looks_like_flag);
  if (misspelt || (no_command && !extras.empty())) refuse_extras(root, extras);
  if (no_command && is<CLI::RequiredError>(error)) {
    refuse("FLAG_MISSING", fmt::format("name a command: {}", join(command_names(root), ", ")),
           see_help(root));
  }
  refuse(is<CLI::RequiredError>(error) ? "FLAG_MISSING" : "FLAG_VALUE",
         printable(explain(root, error), 400), see_help(root));
}

}  // namespace regroup
