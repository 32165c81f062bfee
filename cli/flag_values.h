#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace regroup {

/// Checks of a flag's value. Their messages read on from the flag's name: "must be ..., found ...".
CLI::Validator whole_number(int64_t least, int64_t most);
/// Any whole number; its rule depends on the model.
CLI::Validator whole_number();
CLI::Validator seed_number();
CLI::Validator number(double least, double most);
CLI::Validator one_of(const std::vector<std::string>& words);

}  // namespace regroup
