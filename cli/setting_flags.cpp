#include "setting_flags.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "regroup/base/quantity.h"
#include "regroup/text/documents.h"

namespace regroup {
namespace {

bool has_range(const Setting& setting) {
  return std::isfinite(setting.min) || std::isfinite(setting.max);
}

/// A bound that is left out is the largest that the type holds.
void check_whole(CLI::Option* option, const Setting& setting) {
  if (!has_range(setting)) return;
  using Limits = std::numeric_limits<int64_t>;
  option->check(
      whole_number(std::isfinite(setting.min) ? static_cast<int64_t>(setting.min) : Limits::min(),
                   std::isfinite(setting.max) ? static_cast<int64_t>(setting.max) : Limits::max()));
}

void check_number(CLI::Option* option, const Setting& setting) {
  using Limits = std::numeric_limits<double>;
  if (!has_range(setting)) return;
  option->check(
      number(std::max(setting.min, Limits::lowest()), std::min(setting.max, Limits::max())));
}

bool is_quantity(const Setting& setting) {
  return setting.kind == Setting::Kind::kCount || setting.kind == Setting::Kind::kContext;
}

void show_default(CLI::Option* option, const Setting& setting) {
  if (setting.shows_default) option->capture_default_str();
}

}  // namespace

CLI::Option* SettingFlags::add_text(const Setting& setting,
                                    const std::function<void(const std::string&)>& read) const {
  return command_.add_option_function<std::string>(flag(setting), read, help(setting));
}

void SettingFlags::add_quantity(const Setting& setting,
                                const std::function<void(int64_t)>& set) const {
  const auto parse = setting.kind == Setting::Kind::kContext ? &parse_context : &parse_count;
  add_text(setting, [set, parse, flag = flag(setting)](const std::string& text) {
    if (!text.empty()) set(parse(text, flag));
  });
}

void SettingFlags::operator()(const Setting& setting, bool& field) const {
  command_.add_flag(flag(setting), field, help(setting));
}

void SettingFlags::operator()(const Setting& setting, int64_t& field) const {
  if (is_quantity(setting)) {
    return add_quantity(setting, [&field](int64_t value) { field = value; });
  }
  CLI::Option* option = command_.add_option(flag(setting), field, help(setting));
  show_default(option, setting);
  check_whole(option, setting);
}

void SettingFlags::operator()(const Setting& setting, std::optional<int64_t>& field) const {
  if (is_quantity(setting)) {
    return add_quantity(setting, [&field](int64_t value) { field = value; });
  }
  check_whole(command_.add_option(flag(setting), field, help(setting)), setting);
}

void SettingFlags::operator()(const Setting& setting, double& field) const {
  CLI::Option* option = command_.add_option(flag(setting), field, help(setting));
  show_default(option, setting);
  check_number(option, setting);
}

void SettingFlags::operator()(const Setting& setting, std::optional<double>& field) const {
  check_number(command_.add_option(flag(setting), field, help(setting)), setting);
}

void SettingFlags::operator()(const Setting& setting, std::string& field) const {
  if (setting.kind == Setting::Kind::kSeparator) {
    add_text(setting, [&field](const std::string& text) { field = parse_separator(text); });
    return;
  }
  CLI::Option* option = command_.add_option(flag(setting), field, help(setting));
  if (setting.kind == Setting::Kind::kFilePath) option->type_name(kFile);
  if (setting.kind == Setting::Kind::kFolderPath) option->type_name(kFolder);
  if (setting.kind == Setting::Kind::kKeys) option->join(',')->capture_default_str();
  option->required(setting.required);
}

void SettingFlags::operator()(const Setting& setting, std::vector<std::string>& field) const {
  CLI::Option* option = command_.add_option(flag(setting), field, help(setting));
  if (setting.kind == Setting::Kind::kFilePath) option->type_name(kFile);
  option->required(setting.required);
}

}  // namespace regroup
