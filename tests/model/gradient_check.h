#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "model/decoder_tools.h"

namespace regroup::testing {

using at::Tensor;
using Tensors = std::vector<Tensor>;
using Function = std::function<Tensors(const Tensors&)>;

/// What is computed in `dtype`, in float64 from the same inputs.
inline Tensors widened(const Tensors& inputs) {
  Tensors wide;
  for (const Tensor& x : inputs)
    wide.push_back(x.detach().to(at::kCPU, at::kDouble).set_requires_grad(x.requires_grad()));
  return wide;
}

inline Tensors gradients(const Tensors& outputs, const Tensors& inputs, const Tensors& upstream) {
  return torch::autograd::grad(outputs, inputs, upstream);
}

/// Forward and backward of `own` against `reference`.
inline void compare(const char* what, const Function& own, const Function& reference,
                    Tensors inputs) {
  for (Tensor& x : inputs) x = x.detach().set_requires_grad(true);
  const Tensors wide = widened(inputs);
  const Tensors outputs = own(inputs);
  const Tensors expected = reference(wide);
  const at::ScalarType dtype = inputs[0].scalar_type();
  // One rounding to bfloat16 is 2^-9 of the value; two stand between dx and its definition.
  double tolerance = dtype == at::kFloat ? 2e-6 : 0x1p-8;
  if (!inputs[0].is_cpu() && dtype == at::kBFloat16) tolerance = 0x1p-5;  // a composition of steps
  Tensors upstream;
  for (size_t i = 0; i < outputs.size(); ++i) {
    EXPECT_EQ(outputs[i].scalar_type(), dtype);
    ASSERT_EQ(outputs[i].sizes(), expected[i].sizes()) << what;
    EXPECT_LE(relative_error(outputs[i], expected[i]), tolerance) << what << ", output " << i;
    upstream.push_back(random_tensor(outputs[i].sizes().vec(), 90 + i, dtype, outputs[i].device()));
  }
  const Tensors got = gradients(outputs, inputs, upstream);
  const Tensors want = gradients(expected, wide, widened(upstream));
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].scalar_type(), dtype);
    ASSERT_EQ(got[i].sizes(), inputs[i].sizes());
    const bool zero = want[i].eq(0).all().item<bool>();
    const double error = zero ? got[i].abs().max().item<double>() : relative_error(got[i], want[i]);
    EXPECT_LE(error, 2 * tolerance) << what << ", gradient " << i;
  }
}

struct Kind {
  at::Device device;
  at::ScalarType dtype;
};
inline std::vector<Kind> kinds() {
  std::vector<Kind> all;
  for (const at::Device device : devices()) {
    all.push_back({device, at::kFloat});
    all.push_back({device, at::kBFloat16});
  }
  return all;
}

}  // namespace regroup::testing
