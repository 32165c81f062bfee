#pragma once

#include <string>
#include <vector>

#include "regroup/base/error.h"

namespace regroup {

/// Carries out a command line (without the program's name): results to stdout, errors to stderr.
/// @return the exit status
/// @throws TorchNeeded  in the program without LibTorch, before anything is written or said
int run_program(const std::vector<std::string>& arguments);

/// Says what went wrong. @return the exit status
int report_error(const Error& error, const std::vector<std::string>& arguments);

}  // namespace regroup
