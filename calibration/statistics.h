#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "regroup/checkpoint/config.h"
#include "regroup/model/ops.h"

namespace regroup {

/// What a method knows of the inputs of one layer's attention. K, V and Q are linear in them, so their
/// moments follow from this one matrix, biases included.
struct LayerStatistics {
  /// E[x~ x~^T], float64 [hidden + 1, hidden + 1], with x~ = (x, 1) and x the normed residual stream;
  /// or [hidden + 1], its diagonal, where the rest is 0.
  at::Tensor moment;
  /// Mean L2 norm of what each query head adds to the residual stream, float64 [n_heads]; undefined
  /// without data.
  at::Tensor head_norm;
};

/// Statistics without data: a residual stream of unit variance and no mean, times the norm's weight plus
/// its bias.
LayerStatistics weights_only_statistics(const NormWeights& input_norm, int64_t hidden_size);

/// Sums x~ x~^T over tokens on their device, without a wait: float32 products, added in float64.
class MomentAccumulator {
 public:
  explicit MomentAccumulator(int64_t hidden_size);
  /// @param x  [..., hidden] float32
  void add(const at::Tensor& x);
  int64_t tokens() const { return tokens_; }
  at::Tensor mean() const;  ///< E[x~ x~^T], symmetric, on the host

 private:
  at::Tensor sum_;  // [hidden + 1, hidden + 1] float64
  int64_t tokens_ = 0;
};

/// Where statistics come from; a file of them is used for nothing else.
struct StatisticsOrigin {
  std::string model_sha256;
  int64_t tokens = 0;
};

/// Writes statistics as one safetensors file. @throws OutputError
void save_statistics(const std::string& path, const std::vector<LayerStatistics>& layers,
                     const StatisticsOrigin& origin);
/// @throws CheckpointError STATS_MODEL when the file is of another model, STATS_FORMAT
std::vector<LayerStatistics> load_statistics(const std::string& path, const ModelConfig& config,
                                             const std::string& model_sha256);

}  // namespace regroup
