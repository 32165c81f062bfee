#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace regroup {

/// The text of --help. An argument that has its place on the command line is described there once; its long
/// name, which recipes use, refers to it.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() { column_width(36); }

  std::string make_option(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
};

}  // namespace regroup
