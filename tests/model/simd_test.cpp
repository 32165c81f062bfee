// The targets of the CPU kernels: which there are, what they promise of each other, and what is no finite number.
#include "regroup/model/simd.h"

#include <ATen/ops/exp.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>

#include <cmath>
#include <cstdlib>
#include <limits>

#include "losses/cross_entropy.h"
#include "model/gradient_check.h"
#include "regroup/model/distillation.h"
#include "regroup/model/ops.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// Calls body() with every target, and leaves the best.
template <typename Body>
void with_every_target(const Body& body) {
  for (const std::string& name : simd_targets()) {
    SCOPED_TRACE(name);
    use_simd_target(name);
    body();
  }
  use_simd_target(simd_targets().front());
}

TEST(Simd, TargetsAreChosenByName) {
  const std::vector<std::string> names = simd_targets();
  EXPECT_EQ(simd_target(), names.front());
  for (const std::string& name : names) {
    use_simd_target(name);
    EXPECT_EQ(simd_target(), name);
  }
  use_simd_target(names.front());
#if defined(__x86_64__)
  EXPECT_EQ(names.back(), "scalar");
  EXPECT_EQ(names[names.size() - 2], "baseline");
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    EXPECT_EQ(names[names.size() - 3], "avx2");
  }
#endif
}

TEST(Simd, EnvironmentAsksForATarget) {
  ::unsetenv("REGROUP_SIMD");
  use_simd_target_of_environment();
  EXPECT_EQ(simd_target(), simd_targets().front());
  ::setenv("REGROUP_SIMD", simd_targets().back().c_str(), 1);
  use_simd_target_of_environment();
  EXPECT_EQ(simd_target(), simd_targets().back());
  for (const char* wrong : {"", "AVX2", "sse5", "avx512 "}) {
    ::setenv("REGROUP_SIMD", wrong, 1);
    const ErrorInfo error =
        expect_error<ConfigError>("SIMD_TARGET", [] { use_simd_target_of_environment(); });
    EXPECT_TRUE(contains(error.message, simd_targets().back() + ", which this processor has"));
    EXPECT_EQ(simd_target(), simd_targets().back()) << "a refused name changes nothing";
  }
  ::unsetenv("REGROUP_SIMD");
  use_simd_target(simd_targets().front());
}

/// What every kernel makes of the same inputs, forward and backward. Sizes that no target's lanes divide.
Tensors results(at::ScalarType dtype) {
  const auto leaf = [&](const std::vector<int64_t>& shape, uint64_t seed) {
    return random_tensor(shape, seed, dtype).set_requires_grad(true);
  };
  Tensors all;
  const auto add = [&](const Tensors& outputs, const Tensors& inputs) {
    Tensors upstream;
    for (const Tensor& y : outputs)
      upstream.push_back(random_tensor(y.sizes().vec(), 90 + upstream.size(), dtype));
    for (const Tensor& y : outputs) all.push_back(y.detach());
    for (const Tensor& dx : gradients(outputs, inputs, upstream)) all.push_back(dx);
  };
  const Tensor x = leaf({301, 75}, 1);
  const Tensor delta = leaf({301, 75}, 2);
  const Tensor weight = leaf({75}, 3);
  const auto [sum, y] = add_norm(x, delta, {weight, {}}, 1e-5);
  add({sum, y}, {x, delta, weight});
  const Tensor gate_up = leaf({37, 150}, 4);
  add({swiglu(gate_up)}, {gate_up});
  const Tensor angles = random_tensor({130, 19}, 5);
  const Tensor qkv = leaf({2, 130, 8 * 40}, 6);
  const auto [q, k, v] = split_rope(qkv, {angles.cos(), angles.sin()}, 4, 2, 40);
  add({causal_attention(q, k, v, 70)}, {qkv});
  const Tensor targets = random_ids(1, 97, 515, 7).view({-1});
  const Tensor logits = random_tensor({97, 515}, 8);
  all.push_back(cross_entropy_(logits, targets, 0.01));
  all.push_back(logits);
  const Tensor student = random_tensor({97, 515}, 9);
  const DistillationSums sums =
      distillation_gradient_(student, random_tensor({97, 515}, 10), targets, 0.01, {0.4, 1.5});
  all.push_back(at::stack({sums.ce, sums.kl}));
  all.push_back(student);
  return all;
}

// What kernel_math-inl.h promises: a target repeats its own bits with any number of threads, and two of them
// agree to a few roundings.
TEST(Simd, SameBitsWithinATargetAndCloseBetweenThem) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    Tensors best;
    with_every_target([&] {
      const Tensors own = results(dtype);
      set_threads(3);
      const Tensors again = results(dtype);
      set_threads(1);
      if (best.empty()) best = own;
      for (size_t i = 0; i < own.size(); ++i) {
        EXPECT_TRUE(own[i].equal(again[i])) << "result " << i;
        const bool narrow = own[i].scalar_type() == at::kBFloat16;
        EXPECT_LE(relative_error(own[i], best[i]), narrow ? 0x1p-7 : 2e-6) << "result " << i;
      }
    });
  }
}

/// e^x of every element, from the gradient of a softmax: row {0, x} has p_1 / p_0 = e^x.
Tensor exp_by_softmax(const Tensor& x) {
  const Tensor zero = at::zeros_like(x);
  const Tensor logits = at::stack({zero, x, zero}, 1);
  cross_entropy_(logits, at::full({x.size(0)}, 2, at::kLong), 1.0);
  return logits.select(1, 1).div(logits.select(1, 0));
}

TEST(Simd, ExponentialIsExactToItsLastPlaces) {
  const Tensor x = at::linspace(-87.0, 0.0, 20011).to(at::kFloat);
  const Tensor exact = at::exp(x.to(at::kDouble));
  with_every_target([&] {
    const Tensor error = exp_by_softmax(x).to(at::kDouble).div(exact).sub(1).abs();
    EXPECT_LE(error.max().item<double>(), 4e-7);
    // Far below, it stays above zero and small.
    const Tensor tiny = exp_by_softmax(at::tensor({-88.0f, -1e30f, -kInfinity}));
    EXPECT_GT(tiny.min().item<float>(), 0.0f);
    EXPECT_LE(tiny.max().item<float>(), 2e-38f);
  });
}

bool is_finite(const Tensor& scalar) { return std::isfinite(scalar.item<double>()); }

// Positions in whole vectors and in what is left of a row.
TEST(Simd, LogitsThatAreNotFiniteReachTheLoss) {
  const Tensor targets = at::tensor({5}, at::kLong);
  with_every_target([&] {
    for (const float bad : {kNaN, kInfinity}) {
      for (const int64_t at_id : {0, 3, 31, 34}) {
        const auto logits = [&] {
          const Tensor z = random_tensor({1, 35}, 1);
          z.data_ptr<float>()[at_id] = bad;
          return z;
        };
        SCOPED_TRACE(std::to_string(bad) + " at id " + std::to_string(at_id));
        EXPECT_FALSE(is_finite(cross_entropy_(logits(), targets, 1.0)));
        for (const double temperature : {1.0, 2.0}) {
          const DistillationMix mix{0.5, temperature};
          const DistillationSums own =
              distillation_gradient_(logits(), random_tensor({1, 35}, 2), targets, 1.0, mix);
          EXPECT_FALSE(is_finite(own.ce));
          EXPECT_FALSE(is_finite(own.kl));
          const DistillationSums teacher =
              distillation_gradient_(random_tensor({1, 35}, 2), logits(), targets, 1.0, mix);
          EXPECT_FALSE(is_finite(teacher.kl));
          const TopKLogProbs top = {at::tensor({1, 2}, at::kInt).view({1, 2}),
                                    at::tensor({-1.0f, -2.0f}).view({1, 2}), at::tensor({-0.7f})};
          EXPECT_FALSE(is_finite(distillation_gradient_(logits(), top, targets, 1.0, mix).ce));
        }
      }
    }
  });
}

TEST(Simd, GatesThatAreNotFinite) {
  with_every_target([] {
    for (const int64_t f : {1, 16, 19}) {
      const auto last = [&](float gate) {
        const Tensor gate_up = at::full({1, 2 * f}, 3.0f);
        gate_up.data_ptr<float>()[f - 1] = gate;
        return swiglu(gate_up)[0][f - 1].item<float>();
      };
      EXPECT_TRUE(std::isnan(last(kNaN)));
      EXPECT_EQ(last(kInfinity), kInfinity);
      EXPECT_EQ(last(-200.0f), 0.0f);
      EXPECT_EQ(last(200.0f), 600.0f);
    }
  });
}

}  // namespace
}  // namespace regroup::testing
