#pragma once

#include "command.h"
#include "run_stages.h"

namespace regroup {

/// Carries out a recipe as `run` does: what is done already and whose inputs are unchanged is not done again.
CommandOutput run_recipe(const RunFlags& flags, const Globals& globals);

}  // namespace regroup
