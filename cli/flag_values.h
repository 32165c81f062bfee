#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace regroup {

/// Checks of a flag's value. Their messages read on from the flag's name: "must be ..., found ...".
CLI::Validator whole_number(int64_t min, int64_t max);
/// Any whole number; its rule depends on the model.
CLI::Validator whole_number();
CLI::Validator seed_number();
CLI::Validator number(double min, double max);
CLI::Validator one_of(const std::vector<std::string>& all);

/// What --help calls the value of a flag, and how a shell completes it (cli/completion/).
constexpr const char* kFile = "FILE";
constexpr const char* kFolder = "FOLDER";
constexpr const char* kMethod = "METHOD";      ///< method_names()
constexpr const char* kGrouping = "GROUPING";  ///< grouping_names()
/// "{auto,required,never}": one of a few words.
std::string words(const std::vector<std::string>& all);

}  // namespace regroup
