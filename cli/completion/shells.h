#pragma once

#include <string>
#include <vector>

#include "command_shape.h"

namespace regroup {

/// The completion script of a shell, whole. Each lives in the file of its name.
std::string bash_completion(const std::vector<CommandShape>& commands);
std::string zsh_completion(const std::vector<CommandShape>& commands);
std::string fish_completion(const std::vector<CommandShape>& commands);

}  // namespace regroup
