#pragma once

#include <ATen/core/Tensor.h>

#include "regroup/convert/head_channels.h"

namespace regroup {

/// A matrix that acts on the planes by one complex number each, and on the rest by any matrix.
/// @param planes  [planes] complex   @param rest  [rest, rest]   @return [head_dim, head_dim] float64
at::Tensor key_matrix(const HeadChannels& channels, const at::Tensor& planes,
                      const at::Tensor& rest);

/// The two parts of such a matrix; what lies outside them is not looked at.
at::Tensor plane_part(const HeadChannels& channels, const at::Tensor& matrix);
at::Tensor rest_part(const HeadChannels& channels, const at::Tensor& matrix);

}  // namespace regroup
