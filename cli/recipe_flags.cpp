#include "recipe_flags.h"

#include <fmt/format.h>

#include <algorithm>

#include "parse_error.h"
#include "recipe.h"
#include "regroup/base/printable.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

/// The option of a key: a long name of one that a recipe may set.
CLI::Option* find_key(CLI::App& app, const std::string& key) {
  for (CLI::Option* option : app.get_options(nullptr)) {
    const auto& names = option->get_lnames();
    const bool named = std::find(names.begin(), names.end(), key) != names.end();
    if (named && option->get_configurable()) return option;
  }
  return nullptr;
}

bool takes_list(const CLI::Option& option) {
  return option.get_expected_max() > 1 ||
         option.get_multi_option_policy() == CLI::MultiOptionPolicy::Join;
}

/// Sets the flags of a command line from one recipe.
class Setter {
 public:
  Setter(CLI::App& root, const Recipe& recipe, RecipeValues& values)
      : root_(root), recipe_(recipe), values_(values) {}

  void check_section(const RecipeSection& section) const {
    if (command_of(section.name) != nullptr) return;
    if (find_key(root_, section.name) != nullptr) {
      refuse("RECIPE_TYPE", section.at,
             fmt::format("{} must be one value, found a section", section.name),
             fmt::format("write {} = VALUE above the first section", section.name));
    }
    const std::string near = nearest(section.name, command_names(root_));
    refuse("RECIPE_UNKNOWN_SECTION", section.at,
           fmt::format("unknown section [{}]", printable(section.name)),
           near.empty() ? fmt::format("sections are {}", join(command_names(root_), ", "))
                        : fmt::format("did you mean [{}]?", near));
  }

  void set(const RecipeEntry& entry) const {
    CLI::App& command = entry.section.empty() ? root_ : *command_of(entry.section);
    CLI::Option* option = find_key(command, entry.key);
    if (option == nullptr) refuse_key(entry);
    check_type(*option, entry);
    if (!option->empty()) return;  // the command line wins
    set_value(command, *option, entry);
    if (&command != &root_ && !command.parsed()) return;
    for (const std::string& name : {option->get_name(), option->get_name(/*positional=*/true)}) {
      if (!name.empty()) values_[name] = entry.value_at;
    }
  }

 private:
  CLI::App* command_of(const std::string& section) const {
    const auto commands = root_.get_subcommands([](const CLI::App*) { return true; });
    const auto it = std::find_if(commands.begin(), commands.end(),
                                 [&](CLI::App* app) { return app->get_name() == section; });
    return it == commands.end() ? nullptr : *it;
  }

  [[noreturn]] void refuse(const char* code, const RecipePlace& at, const std::string& message,
                           const std::string& hint) const {
    refuse_recipe(code, recipe_.path, at, message, hint);
  }

  /// "[convert], [plan]": the sections that have a key of this name.
  std::string sections_with(const std::string& key) const {
    std::vector<std::string> found;
    for (CLI::App* command : root_.get_subcommands([](const CLI::App*) { return true; })) {
      if (find_key(*command, key) != nullptr) found.push_back("[" + command->get_name() + "]");
    }
    return join(found, ", ");
  }

  std::vector<std::string> known_keys() const {
    std::vector<std::string> keys;
    const auto collect = [&](const CLI::App& app, const std::string& section) {
      for (const CLI::Option* option : app.get_options()) {
        if (!option->get_configurable()) continue;
        for (const std::string& name : option->get_lnames()) keys.push_back(section + name);
      }
    };
    collect(root_, "");
    for (const CLI::App* command : root_.get_subcommands([](const CLI::App*) { return true; })) {
      collect(*command, command->get_name() + ".");
    }
    return keys;
  }

  [[noreturn]] void refuse_key(const RecipeEntry& entry) const {
    if (entry.section.empty() && command_of(entry.key) != nullptr) {
      refuse("RECIPE_TYPE", entry.value_at,
             fmt::format("{0} must be a section, [{0}], found {1}", entry.key,
                         entry.no_value.empty() ? "a value" : entry.no_value),
             fmt::format("write [{}] on a line of its own, once, and its keys below", entry.key));
    }
    std::string hint = "see regroup COMMAND --help for the keys of its section";
    if (find_key(root_, entry.key) != nullptr) {
      hint = fmt::format("write {} above the first section", entry.key);
    } else if (const std::string sections = sections_with(entry.key); !sections.empty()) {
      hint = fmt::format("{} is a key of {}", entry.key, sections);
    } else if (const std::string near = nearest(entry.name(), known_keys()); !near.empty()) {
      hint = fmt::format("did you mean {}?", near);
    }
    refuse("RECIPE_UNKNOWN_KEY", entry.key_at,
           fmt::format("unknown key {}", printable(entry.name())), hint);
  }

  void check_type(const CLI::Option& option, const RecipeEntry& entry) const {
    const bool flag = option.get_expected_min() == 0;
    const bool list = takes_list(option);
    const std::string wanted = flag ? "true or false" : list ? "a value or a list" : "one value";
    std::string found = entry.no_value;
    if (found.empty() && entry.list && !list) {
      found = fmt::format("a list of {}", entry.values.size());
    }
    if (found.empty()) return;
    refuse("RECIPE_TYPE", entry.value_at,
           fmt::format("{} must be {}, found {}", entry.name(), wanted, found),
           found == "an empty list" ? "leave the key out for its default"
                                    : fmt::format("write it as --{} takes it", entry.key));
  }

  static std::string see_help_of(const RecipeEntry& entry) {
    return fmt::format("see regroup {}--help", entry.section.empty() ? "" : entry.section + " ");
  }

  void set_value(const CLI::App& command, CLI::Option& option, const RecipeEntry& entry) const {
    try {
      if (option.get_expected_min() == 0) {
        option.add_result(option.get_flag_value(entry.key, entry.values.front()));
      } else {
        option.add_result(entry.values);
      }
      option.run_callback();
    } catch (const CLI::ParseError& error) {
      refuse("FLAG_VALUE", entry.value_at, printable(explain(command, error), 400),
             see_help_of(entry));
    } catch (const ConfigError& error) {  // of a word or a quantity
      const std::string& hint = error.info().hint;
      refuse("FLAG_VALUE", entry.value_at, error.info().message,
             hint.empty() ? see_help_of(entry) : hint);
    }
  }

  CLI::App& root_;
  const Recipe& recipe_;
  RecipeValues& values_;
};

}  // namespace

std::vector<CLI::ConfigItem> RecipeFlags::from_config(std::istream& input) const {
  std::string text(kMaxRecipeBytes + 1, '\0');
  input.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(input.gcount()));
  const Recipe recipe = parse_recipe(text, root_.get_option("--recipe")->results().back());
  const Setter setter(root_, recipe, values_);
  for (const RecipeSection& section : recipe.sections) setter.check_section(section);
  for (const RecipeEntry& entry : recipe.entries) setter.set(entry);
  return {};
}

ErrorInfo with_recipe_place(ErrorInfo error, const RecipeValues& values,
                            const std::string& recipe) {
  const auto value = values.find(error.message.substr(0, error.message.find(' ')));
  if (!error.path.empty() || value == values.end()) return error;
  error.path = recipe;
  error.message = fmt::format("{}: {}", to_string(value->second), error.message);
  return error;
}

}  // namespace regroup
