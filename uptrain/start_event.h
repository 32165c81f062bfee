#pragma once

#include "regroup/base/strict_json.h"
#include "run_setup.h"

namespace regroup {

/// The facts of the event "start": what one has to know of a run to compare its curve with another's.
Json start_facts(const RunSetup& setup);

}  // namespace regroup
