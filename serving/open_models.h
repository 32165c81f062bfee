#pragma once

#include <string_view>

#include "regroup/base/strict_json.h"
#include "regroup/serving/cache_layout.h"

namespace regroup {

/// The layout of a model that regroup does not convert; without `config`.
/// @param fields  the whole config.json, or its "text_config" where a model for images and text has one
/// @throws CheckpointError CFG_MISSING_KEY, CFG_TYPE, CFG_RANGE, CFG_INCONSISTENT
///         UnsupportedError CFG_UNSUPPORTED for a model type that is not known, naming what is
CacheLayout read_open_model(std::string_view model_type, const JsonFields& fields);

/// Whether read_open_model() knows it.
bool is_open_model(std::string_view model_type);

}  // namespace regroup
