#include "recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "regroup/checkpoint/error.h"
#include "regroup/checkpoint/file.h"
#include "regroup/checkpoint/text.h"

namespace regroup {
namespace {

constexpr int64_t kMostRecipeBytes = 1 << 20;
constexpr const char* kSyntaxHint = "a recipe is TOML: [section] and key = value; see recipes/";

/// What to do about a recipe, or about a file that by its name is none.
const char* hint_for(const std::string& path, const char* recipe_hint) {
  return path.ends_with(".toml")
             ? recipe_hint
             : "a recipe is a TOML file, such as recipes/demo.toml; is this another file?";
}

std::string recipe_path(const CLI::App& root) {
  const CLI::Option* option = root.get_option("--recipe");
  return option->count() > 0 ? option->results().back() : "";
}

/// Every "section.key" that a recipe may hold.
std::vector<std::string> known_keys(const CLI::App& root) {
  std::vector<std::string> keys;
  const auto collect = [&](const CLI::App& app, const std::string& section) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        if (name != "help" && name != "version" && name != "recipe") keys.push_back(section + name);
      }
    }
  };
  collect(root, "");
  for (const CLI::App* command : root.get_subcommands({})) {
    collect(*command, command->get_name() + ".");
  }
  return keys;
}

[[noreturn]] void refuse(const char* code, const std::string& path, const std::string& message,
                         const std::string& hint = {}) {
  throw ConfigError({.code = code, .message = message, .path = path, .tensor = {}, .hint = hint});
}

/// "convert.kv-hed" from "INI was not able to parse convert.kv-hed".
std::string key_of(const std::string& what) {
  const std::string marker = "able to parse ";
  const size_t at = what.find(marker);
  return at == std::string::npos ? "" : what.substr(at + marker.size());
}

}  // namespace

void refuse_recipe(const CLI::App& root, const std::string& what) {
  const std::string path = recipe_path(root);
  std::string key = key_of(what);
  if (key.empty()) refuse("RECIPE_SYNTAX", path, printable(what), kSyntaxHint);
  if (key.starts_with('[')) {
    refuse("RECIPE_SYNTAX", path, fmt::format("section {} must end with ]", printable(key)),
           kSyntaxHint);
  }
  const bool section = key.ends_with(".++");
  if (section) key.resize(key.size() - 3);
  std::vector<std::string> known = known_keys(root);
  if (section) {
    std::set<std::string> sections;
    for (const CLI::App* command : root.get_subcommands({})) sections.insert(command->get_name());
    known.assign(sections.begin(), sections.end());
  }
  const std::string near = nearest(key, known);
  const char* hint = hint_for(path, "see regroup COMMAND --help for the keys of its section");
  refuse(section ? "RECIPE_UNKNOWN_SECTION" : "RECIPE_UNKNOWN_KEY", path,
         section ? fmt::format("unknown section [{}]", printable(key))
                 : fmt::format("unknown key {}", printable(key)),
         near.empty() ? hint : fmt::format("did you mean {}?", near));
}

void refuse_missing_recipe(const CLI::App& root) {
  refuse("RECIPE_MISSING", recipe_path(root), "must be a recipe (TOML), but cannot be read",
         "check the spelling of --recipe");
}

bool Recipe::has_section(const std::string& section) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const RecipeEntry& entry) { return entry.section == section; });
}

std::vector<std::string> Recipe::values(const std::string& section, const std::string& key) const {
  for (const RecipeEntry& entry : entries_) {
    if (entry.section == section && entry.key == key) return entry.values;
  }
  return {};
}

Recipe read_recipe(const std::string& path) {
  if (!path_exists(path) || is_folder(path)) {
    refuse("RECIPE_MISSING", path, "must be a recipe (TOML), but cannot be read",
           "check the spelling of its path");
  }
  const InputFile file(path);
  if (file.size() > kMostRecipeBytes) {
    refuse("LIMIT_FILE_SIZE", path,
           fmt::format("must have at most {} bytes, found {}", kMostRecipeBytes, file.size()));
  }
  std::istringstream text(file.read_all());
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(text);
  } catch (const CLI::Error& error) {
    refuse("RECIPE_SYNTAX", path, printable(error.what()), kSyntaxHint);
  }
  std::vector<RecipeEntry> entries;
  std::set<std::string> seen;
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // a section opens or closes
    const std::string section = item.parents.empty() ? "" : item.parents.front();
    if (!seen.insert(section + "." + item.name).second) {
      refuse("RECIPE_DUPLICATE", path,
             fmt::format("key {} stands twice", printable(item.fullname())),
             hint_for(path, "keep one of the two"));
    }
    entries.push_back({section, item.name, item.inputs});
  }
  return Recipe(std::move(entries));
}

}  // namespace regroup
