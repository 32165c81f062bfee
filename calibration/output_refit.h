#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// Least squares for the output projection: Wo' = argmin E w|Wo a - y|^2 + ridge |Wo - Wo_0|^2, with a
/// the converted layer's heads, y what they should add to the residual stream and w what an error of the
/// token counts for (docs/methods.md).
class OutputRefit {
 public:
  OutputRefit(int64_t heads_size, int64_t hidden_size, at::Device device = at::kCPU);
  /// On the device of the sums, without waiting for it.
  /// @param heads   [..., n_heads * head_dim] float32   @param wanted  [..., hidden] float32
  /// @param weight  [..., 1] float32   @param bias  [hidden] of the projection, or undefined
  void add(const at::Tensor& heads, const at::Tensor& wanted, const at::Tensor& weight,
           const at::Tensor& bias = {});
  /// Adds the tokens of another set, scaled so that what they are wanted to add, sum of w|y|^2, is `ratio`
  /// times that of these: a set of few tokens then counts for its share and not for its number.
  void join(const OutputRefit& other, double ratio);
  /// @param start  [hidden, n_heads * head_dim]: where directions that the data does not show stay
  /// @return       [hidden, n_heads * head_dim] float64, on the host
  at::Tensor solve(const at::Tensor& start) const;

 private:
  at::Tensor moment_;  // [heads, heads] float64: sum of w a a^T
  at::Tensor cross_;   // [heads, hidden] float64: sum of w a y^T
  at::Tensor energy_;  // float64 scalar: sum of w|y|^2
};

}  // namespace regroup
