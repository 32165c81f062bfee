#pragma once

#include <string>

#include "head_moments.h"
#include "regroup/calibration/calibrate.h"
#include "regroup/model/layer.h"

namespace regroup {

/// What a conversion may decide of a layer, where the model has it.
inline constexpr Role kDecidedRoles[] = {Role::kQuery,     Role::kKey,       Role::kValue,
                                         Role::kOutput,    Role::kQueryBias, Role::kKeyBias,
                                         Role::kValueBias, Role::kQueryNorm, Role::kKeyNorm};

/// The layer with another attention: `attention` in float64 becomes its q, k, v and o in the layer's
/// dtype; norms and MLP are shared.
LayerWeights with_attention(const LayerWeights& layer, const AttentionWeights& attention,
                            const ModelConfig& after);

/// The residual stream after a whole layer. x [windows, seq, hidden]
at::Tensor through_layer(const ModelConfig& config, const LayerWeights& weights, int64_t layer,
                         const at::Tensor& x, const RopeTables& rope);

/// Writes what kDecidedRoles names, rounded to the output's dtypes, under part_name(), with the layer's report; complete or absent.
void save_calibrated_layer(const std::string& path, const ModelFolder& model,
                           const std::string& dtype, const ModelConfig& after, int64_t layer,
                           const LayerWeights& weights, const LayerReport& report);

/// Reads such a file into `weights` and `report`. @return false when there is none or it is damaged
bool load_calibrated_layer(const std::string& path, const ModelConfig& after, int64_t layer,
                           LayerWeights& weights, LayerReport& report);

}  // namespace regroup
