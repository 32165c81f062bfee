#pragma once

#include <string>

#include "model_folder_names.h"

namespace regroup {

/// Says what `folder` is, where it has no config.json: an adapter, the hub's cache, a model of another
/// program ..., and what to do.
/// @throws CheckpointError CFG_MISSING; UnsupportedError MODEL_FORMAT, PICKLE_REFUSED
[[noreturn]] void refuse_without_config(const std::string& folder);

/// The same where config.json is there and the weights are not.
/// @throws CheckpointError MODEL_NO_WEIGHTS, IDX_MISSING; UnsupportedError MODEL_FORMAT, PICKLE_REFUSED
[[noreturn]] void refuse_without_weights(const std::string& folder, const WeightFormat& format);

}  // namespace regroup
