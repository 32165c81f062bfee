#pragma once

#include <c10/core/Device.h>

#include "regroup/base/strict_json.h"
#include "regroup/model/processes.h"
#include "regroup/uptrain/options.h"

namespace regroup {

/// Every process takes part in every step, and computes on its CPU.
/// @throws ConfigError FLAG_VALUE, UnsupportedError DEVICE
void check_processes(const UptrainOptions& options, const Processes& processes, at::Device device);

/// All processes must be given the same model, data and settings.
/// @throws ConfigError PROCESSES_DIFFER naming what differs
void require_same(Processes& processes, const Json& settings);

}  // namespace regroup
