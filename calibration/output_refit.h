#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// Least squares for the output projection: Wo' = argmin E|Wo a - y|^2 + ridge |Wo - Wo_0|^2, with a
/// the converted layer's heads and y what they should add to the residual stream (docs/methods.md).
class OutputRefit {
 public:
  OutputRefit(int64_t heads_size, int64_t hidden_size, at::Device device = at::kCPU);
  /// On the device of the sums, without waiting for it.
  /// @param heads   [..., n_heads * head_dim] float32   @param wanted  [..., hidden] float32
  void add(const at::Tensor& heads, const at::Tensor& wanted);
  /// @param start  [hidden, n_heads * head_dim]: where directions that the data does not show stay
  /// @return       [hidden, n_heads * head_dim] float64, on the host
  at::Tensor solve(const at::Tensor& start) const;

 private:
  at::Tensor moment_;  // [heads, heads] float64: sum of a a^T
  at::Tensor cross_;   // [heads, hidden] float64: sum of a y^T
};

}  // namespace regroup
