#include "resolved_recipe.h"

#include <fmt/format.h>

#include <algorithm>

#include "recipe.h"
#include "regroup/base/words.h"

namespace regroup {
namespace {

/// True if TOML has this very text as a number or a boolean.
bool stands_alone(const std::string& text) {
  const bool quoted = text.find_first_of("\"'[{\n") != std::string::npos;
  if (text.empty() || quoted) return false;
  try {
    const Recipe recipe = parse_recipe("x=" + text, "");
    return recipe.entries.size() == 1 && recipe.entries.front().values == std::vector{text};
  } catch (const ConfigError&) {
    return false;
  }
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      result += std::string("\\") + c;
    } else if (c == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      result += fmt::format("\\u{:04X}", byte);
    } else {
      result += c;
    }
  }
  return result + '"';
}

/// Empty for a flag that was left out and has no default.
std::vector<std::string> values_of(const CLI::Option& option) {
  std::vector<std::string> values = option.reduced_results();
  if (values.empty() && !option.get_default_str().empty()) values = {option.get_default_str()};
  if (values.empty() && option.get_expected_min() == 0) values = {"false"};
  if (values == std::vector<std::string>{""}) values.clear();
  return values;
}

std::string line_of(const CLI::Option& option, const std::vector<std::string>& values) {
  std::vector<std::string> texts;
  std::transform(values.begin(), values.end(), std::back_inserter(texts), recipe_value);
  const std::string list = join(texts, ", ");
  return fmt::format("{}={}\n", option.get_single_name(),
                     texts.size() == 1 ? list : "[" + list + "]");
}

}  // namespace

std::string recipe_value(const std::string& text) {
  return stands_alone(text) ? text : quoted(text);
}

std::string resolved_recipe(const Globals& globals, const CLI::App& command) {
  std::string text = fmt::format("seed = {}\nthreads = {}\ndevice = {}\n", globals.seed,
                                 globals.threads, quoted(globals.device));
  if (globals.allow_pickle) text += "allow-pickle = true\n";
  text += fmt::format("\n[{}]\n", command.get_name());
  for (const CLI::Option* option : command.get_options()) {
    const std::vector<std::string> values = values_of(*option);
    if (option->get_configurable() && !values.empty()) text += line_of(*option, values);
  }
  return text;
}

}  // namespace regroup
