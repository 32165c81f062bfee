#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace regroup {

/// What a refit adds to the output projection for either part of what is wanted, [hidden, n_heads * head_dim]
/// float64, on the host; zeros where nothing gains on held-out tokens.
struct OutputChange {
  at::Tensor own;
  at::Tensor carried;

  /// @param start  what was refitted   @return float64, on the host
  at::Tensor added_to(const at::Tensor& start) const;
};

/// Least squares for the output projection, from Wo_0 towards argmin E w|Wo a - y|^2 with a the converted layer's
/// heads, y what they should add to the residual stream and w what an error of the token counts for
/// (docs/methods.md). y has two parts: what the parent's attention adds, and what the layers below left out.
/// Each has a ridge and a factor of its own, which held-out tokens choose: the second is mostly noise, of which
/// a plain fit learns a little by heart in every layer.
class OutputRefit {
 public:
  OutputRefit(int64_t heads_size, int64_t hidden_size, at::Device device = at::kCPU);
  /// On the device of the sums, without waiting for it.
  /// @param heads         [..., n_heads * head_dim] float32
  /// @param own, carried  the parts of y, [..., hidden] float32
  /// @param weight        [..., 1] float32   @param bias  [hidden] of the projection, or undefined
  void add(const at::Tensor& heads, const at::Tensor& own, const at::Tensor& carried,
           const at::Tensor& weight, const at::Tensor& bias = {});
  /// Adds the tokens of another set, scaled so that what they are wanted to add, sum of w|y|^2, is `ratio`
  /// times that of these: a set of few tokens then counts for its share and not for its number.
  void join(const OutputRefit& other, double ratio);
  /// @param start     [hidden, n_heads * head_dim]: Wo_0
  /// @param held_out  the same sums of tokens that are not worked on
  OutputChange solve(const at::Tensor& start, const OutputRefit& held_out) const;

 private:
  at::Tensor moment() const;                          // symmetric, on the host
  at::Tensor own_gap(const at::Tensor& start) const;  // own - A start, [heads, hidden]
  at::Tensor carried_gap() const;

  at::Tensor moment_;  // [heads, heads] float64: sum of w a a^T
  at::Tensor own_;     // [heads, hidden] float64: sum of w a y^T, of both parts of y
  at::Tensor carried_;
  at::Tensor energy_;  // float64 scalar: sum of w|y|^2
};

}  // namespace regroup
