#include "recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <span>

#include "recipe_syntax.h"
#include "regroup/base/error.h"
#include "regroup/base/folder.h"
#include "regroup/base/input_file.h"
#include "regroup/base/path.h"

namespace regroup {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

RecipePlace begin_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

/// "a date" and the like for what no flag takes; "" for what one may take.
std::string no_value(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::date:
      return "a date";
    case toml::node_type::time:
      return "a time";
    case toml::node_type::date_time:
      return "a date with its time";
    default:
      return "";
  }
}

/// A float as it is written, since a flag for whole numbers takes 20e6 and not 20000000.0.
std::string float_text(double value, std::string written) {
  std::erase(written, '_');
  char* end = nullptr;
  const double read = std::strtod(written.c_str(), &end);
  const bool same = read == value || (std::isnan(read) && std::isnan(value));
  return !written.empty() && *end == '\0' && same ? written : fmt::format("{}", value);
}

/// What a user would type behind the flag.
std::string flag_text(const toml::node& node, const RecipeText& recipe) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* whole = node.as_integer()) return fmt::format("{}", whole->get());
  if (const auto* yes = node.as_boolean()) return yes->get() ? "true" : "false";
  const double number = node.as_floating_point()->get();
  return float_text(number, std::string(recipe.at(node.source())));
}

/// Files can make keys and values of any kind; which of them are known is another question.
RecipeEntry entry_of(const std::string& section, const toml::key& key, const toml::node& node,
                     const RecipeText& recipe) {
  RecipeEntry entry{.section = section,
                    .key = std::string(key.str()),
                    .values = {},
                    .list = node.is_array(),
                    .no_value = {},
                    .key_at = begin_of(key.source()),
                    .value_at = begin_of(node.source())};
  const toml::array* list = node.as_array();
  if (list == nullptr) {
    entry.no_value = no_value(node);
    if (entry.no_value.empty()) entry.values.push_back(flag_text(node, recipe));
    return entry;
  }
  if (list->empty()) entry.no_value = "an empty list";
  for (const toml::node& item : *list) {
    if (entry.no_value = no_value(item); !entry.no_value.empty()) {
      entry.no_value += " in a list";
      entry.value_at = begin_of(item.source());
      return entry;
    }
    entry.values.push_back(flag_text(item, recipe));
  }
  return entry;
}

}  // namespace

bool Recipe::has_section(const std::string& section) const {
  return std::any_of(sections.begin(), sections.end(),
                     [&](const RecipeSection& known) { return known.name == section; });
}

std::vector<std::string> Recipe::values(const std::string& section, const std::string& key) const {
  for (const RecipeEntry& entry : entries) {
    if (entry.section == section && entry.key == key) return entry.values;
  }
  return {};
}

Recipe parse_recipe(std::string_view text, const std::string& path) {
  if (static_cast<int64_t>(text.size()) > kMaxRecipeBytes) {
    throw ConfigError(
        {.code = "LIMIT_FILE_SIZE",
         .message = fmt::format("a recipe must have at most {} bytes, found more", kMaxRecipeBytes),
         .path = path,
         .hint = "a recipe is a short TOML file, such as recipes/demo.toml"});
  }
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  const toml::table root = parse_toml(text, path);
  const RecipeText written(text);
  Recipe recipe{.path = path, .sections = {}, .entries = {}};
  for (const auto& [key, value] : root) {
    const toml::table* section = value.as_table();
    if (section == nullptr) {
      recipe.entries.push_back(entry_of("", key, value, written));
      continue;
    }
    recipe.sections.push_back({std::string(key.str()), begin_of(key.source())});
    for (const auto& [name, setting] : *section) {
      recipe.entries.push_back(entry_of(recipe.sections.back().name, name, setting, written));
    }
  }
  std::ranges::sort(recipe.sections, {}, &RecipeSection::at);
  std::ranges::sort(recipe.entries, {}, &RecipeEntry::key_at);
  return recipe;
}

Recipe read_recipe(const std::string& path) {
  if (!path_exists(path) || is_folder(path)) {
    throw ConfigError({.code = "RECIPE_MISSING",
                       .message = "must be a recipe (TOML), but cannot be read",
                       .path = path,
                       .hint = "check the spelling of its path"});
  }
  const InputFile file(path);
  std::string text(std::min<int64_t>(file.size(), kMaxRecipeBytes + 1), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return parse_recipe(text, path);
}

}  // namespace regroup
