#pragma once

#include <cstdint>
#include <string>

#include "regroup/base/strict_json.h"
#include "regroup/checkpoint/block.h"

namespace regroup {

struct ModelFamily;

// Far above every real model, and small enough that no product of a width, a number of rows and one of layers leaves
// 64 bits.
inline constexpr int64_t kMaxLayers = 10'000;
inline constexpr int64_t kMaxPositions = 1 << 30;

/// @throws CheckpointError of that code
[[noreturn]] void refuse_config(const char* code, const std::string& path,
                                const std::string& message,
                                const std::string& hint = "correct the file, or fetch it again");

/// The family that model_type names.
/// @throws UnsupportedError CFG_UNSUPPORTED; CheckpointError CFG_MISSING_KEY
const ModelFamily* read_family(const JsonFields& fields);

/// Things that change what the weights mean and that regroup does not compute.
/// @throws UnsupportedError CFG_UNSUPPORTED, CFG_QUANTIZED
void refuse_unsupported(const JsonFields& fields, const ModelFamily& family);

/// What the MLP computes. @throws UnsupportedError CFG_UNSUPPORTED for a name that the family does not have
Activation read_activation(const JsonFields& fields, const ModelFamily& family);

}  // namespace regroup
