#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "flag_names.h"
#include "flag_values.h"
#include "regroup/base/setting.h"

namespace regroup {

/// The visitor that gives a command a flag for each of its settings. Fields must outlive the command.
/// A wrong word or quantity is a ConfigError FLAG_VALUE while the command line, or its recipe, is parsed.
class SettingFlags {
 public:
  explicit SettingFlags(CLI::App& command) : command_(command) {}

  void operator()(const Setting& setting, bool& field) const;
  void operator()(const Setting& setting, int64_t& field) const;
  void operator()(const Setting& setting, std::optional<int64_t>& field) const;
  void operator()(const Setting& setting, double& field) const;
  void operator()(const Setting& setting, std::optional<double>& field) const;
  void operator()(const Setting& setting, std::string& field) const;
  void operator()(const Setting& setting, std::vector<std::string>& field) const;

  template <typename Value>
  requires std::is_enum_v<Value>
  void operator()(const Setting& setting, Value& field) const {
    const auto names = word_names<Value>();
    add_text(setting, [&field, flag = flag(setting)](
                          const std::string& text) { field = value_of<Value>(text, flag); })
        ->type_name(words({names.begin(), names.end()}))
        ->default_str(name_of(field));
  }

 private:
  static std::string help(const Setting& setting) { return with_flags(setting.help); }
  static std::string flag(const Setting& setting) { return std::string("--") + setting.name; }
  /// A flag whose text `read` turns into the field's value.
  CLI::Option* add_text(const Setting& setting,
                        const std::function<void(const std::string&)>& read) const;
  void add_quantity(const Setting& setting, const std::function<void(int64_t)>& set) const;

  CLI::App& command_;
};

}  // namespace regroup
