#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "regroup/checkpoint/config.h"

namespace regroup {

/// Which channels of a head position turns in pairs, and which it leaves alone.
struct HeadChannels {
  int64_t head_dim = 0;
  std::vector<int64_t> real;       ///< [planes]: rotary plane l is the complex number real[l] +
  std::vector<int64_t> imaginary;  ///< [planes]  i imaginary[l]
  std::vector<int64_t> rest;       ///< [head_dim - 2 planes], ascending
};

HeadChannels head_channels(const ModelConfig& config);

/// A matrix that acts on the planes by one complex number each, and on the rest by any matrix.
/// @param planes  [planes] complex   @param rest  [rest, rest]   @return [head_dim, head_dim] float64
at::Tensor key_matrix(const HeadChannels& channels, const at::Tensor& planes,
                      const at::Tensor& rest);

/// The two parts of such a matrix; what lies outside them is not looked at.
at::Tensor plane_part(const HeadChannels& channels, const at::Tensor& matrix);
at::Tensor rest_part(const HeadChannels& channels, const at::Tensor& matrix);

}  // namespace regroup
