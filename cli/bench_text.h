#pragma once

#include <string>

#include "regroup/results/speed.h"

namespace regroup {

/// What `bench` measured, as tables for people.
std::string bench_text(const SpeedReport& report);

}  // namespace regroup
