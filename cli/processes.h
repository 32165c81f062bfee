#pragma once

#include <string>
#include <vector>

#include "command.h"

namespace regroup {

/// Where this process stands among those that carry the command line out; alone for a command that one process does.
/// @throws ConfigError LAUNCH when the environment makes no sense, or contradicts `processes`
Launch launch_of(const Invocation& invocation);

/// The processes of a launch that are not the first say nothing but errors, and those on stderr.
void keep_silent(Globals& globals);

/// Carries a command line out in invocation.processes processes, of which the first prints.
CommandOutput run_in_processes(const Invocation& invocation,
                               const std::vector<std::string>& arguments);

/// The same for a stage of a pipeline, whose result is read from `out`, a file that is removed again.
CommandOutput stage_in_processes(const Invocation& invocation,
                                 const std::vector<std::string>& arguments, const std::string& out);

}  // namespace regroup
