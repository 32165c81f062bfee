#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/convert/head_transform.h"
#include "regroup/convert/method.h"

namespace regroup {

/// What a conversion may do to heads without changing the model beyond what merging itself loses, by how
/// the model's attention works (docs/methods.md, "What is exact"). What cannot be proven is refused.

/// Gains of the norms between the projections and RoPE, the same for every head, [head_dim].
struct QkNormGains {
  std::vector<double> query;
  std::vector<double> key;
};

/// Sizes, and that the matrices, gains and order of one layer are exact before any merging:
/// - key matrices act on each rotary plane by one complex number, and on the channels that position
///   does not turn by any matrix;
/// - with QK-norm by unit rotations times one factor, and only in planes whose two gains are equal;
/// - with clipped projections no matrix mixes channels;
/// - heads keep their order where its number carries a constant (ALiBi).
/// @param layer  only named in the message
/// @param gains  with QK-norm; without them no plane may be turned
/// @throws ConfigError TRANSFORM
void check_transform(const LayerTransform& transform, const ModelConfig& config, int64_t layer,
                     const QkNormGains& gains = {});

/// The same for all layers, which need one order where they share a table of position biases.
/// @throws ConfigError TRANSFORM
void check_transforms(std::span<const LayerTransform> transforms, const ModelConfig& config);

/// Why `method` with `grouping` decides on what is not exact for such a model; "" when it does not.
std::string why_illegal(Method method, Grouping grouping, const ModelConfig& config);

/// Why queries may not be stretched to make up for shorter keys, as what `logit-gain` is for the model; "" when they may.
std::string why_no_logit_gain(const ModelConfig& config);

}  // namespace regroup
