#pragma once

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

}  // namespace regroup
