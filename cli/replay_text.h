#pragma once

#include <string>

#include "regroup/results/replay.h"
#include "traffic.h"

namespace regroup {

/// Model, trace and server of a replay, before anything is simulated.
/// @param gpu_price  of a device and hour; 0: not said
ReplayReport describe_replay(const Traffic& traffic, double gpu_price);
/// What a simulation of `server` came to.
ReplayOption replay_option(const ReplayResult& result, const ReplayServer& server);

std::string replay_text(const ReplayReport& report);

}  // namespace regroup
