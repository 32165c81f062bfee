// What a step does to weights and moments when the gradient is no number.
#include "optimizer.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "support/devices.h"

namespace regroup::testing {
namespace {

/// d/dw of (factor * w).sum() is `factor` everywhere.
void add_gradient(const at::Tensor& w, double factor) { w.mul(factor).sum().backward(); }

TEST(AdamW, AGradientThatIsNotFiniteChangesNothing) {
  for (const at::Device device : devices()) {
    for (const double bad : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL}) {
      const at::Tensor w = at::ones({2, 3}, at::TensorOptions().device(device));
      w.set_requires_grad(true);
      AdamW optimizer({w}, {});
      add_gradient(w, 0.5);
      EXPECT_TRUE(optimizer.step(1e-2).applied);
      std::map<std::string, at::Tensor> before;
      for (const auto& [name, tensor] : optimizer.state()) before[name] = tensor.clone();

      optimizer.zero_gradients();
      add_gradient(w, bad);
      const StepOutcome outcome = optimizer.step(1e-2);
      EXPECT_FALSE(outcome.applied);
      EXPECT_FALSE(std::isfinite(outcome.grad_norm));
      for (const auto& [name, tensor] : optimizer.state()) {
        EXPECT_TRUE(at::equal(tensor, before.at(name))) << name << " on " << device;
      }

      optimizer.zero_gradients();
      add_gradient(w, 0.5);
      EXPECT_TRUE(optimizer.step(1e-2).applied);
      EXPECT_EQ(optimizer.state().at("updates").item<double>(), 2);
      EXPECT_FALSE(at::equal(optimizer.state().at("decay.master"), before.at("decay.master")));
    }
  }
}

}  // namespace
}  // namespace regroup::testing
