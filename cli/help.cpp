#include "help.h"

#include <fmt/format.h>

namespace regroup {

std::string HelpFormatter::make_option(const CLI::Option* option, bool is_positional) const {
  if (is_positional || !option->get_positional()) {
    return CLI::Formatter::make_option(option, is_positional);
  }
  std::stringstream out;
  CLI::detail::format_help(
      out,
      fmt::format("{} {}{}", make_option_name(option, false), option->get_type_name(),
                  option->get_expected_max() > 1 ? " ..." : ""),
      fmt::format("The same as {}, for recipes", option->get_name(true, false)),
      get_column_width());
  return out.str();
}

std::string HelpFormatter::make_option_opts(const CLI::Option* option) const {
  std::string text = CLI::Formatter::make_option_opts(option);
  // A list is one word with commas where the option says so; CLI11 writes "..." for both kinds.
  const size_t dots = text.find(" ...");
  if (option->get_delimiter() != '\0' && dots != std::string::npos) text.replace(dots, 4, ",...");
  return text;
}

}  // namespace regroup
