// AdamW whose moments and master weights are spread over several processes: the steps of one process that has every
// gradient, whatever their number.
#include <ATen/ops/allclose.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>

#include "model/decoder_tools.h"
#include "optimizer.h"
#include "support/devices.h"
#include "support/expect_error.h"
#include "support/ranks.h"

namespace regroup::testing {
namespace {

/// A matrix, some rows of another one, and a vector: two buckets, of 29 and 5 values.
struct Weights {
  explicit Weights(at::ScalarType dtype)
      : matrix(leaf({3, 7}, 1, dtype)), rows(leaf({6, 4}, 2, dtype)), vector(leaf({5}, 3, dtype)) {}
  static at::Tensor leaf(const std::vector<int64_t>& shape, uint64_t seed, at::ScalarType dtype) {
    return random_tensor(shape, seed).to(dtype).set_requires_grad(true);
  }
  std::vector<TrainedRows> trained() const { return {matrix, {rows, 2, 2, 1.0}, vector}; }
  std::vector<at::Tensor> all() const { return {matrix, rows, vector}; }
  at::Tensor matrix;
  at::Tensor rows;
  at::Tensor vector;
};

/// The gradients of sample `t` are numbers that follow from it.
void add_gradients(const Weights& weights, uint64_t t) {
  uint64_t seed = 100 * t;
  for (const at::Tensor& w : weights.all()) {
    w.mul(random_tensor(w.sizes().vec(), ++seed).to(w.scalar_type())).sum().backward();
  }
}

constexpr AdamWOptions kOptions = {.clip_grad_norm = 0.5};

void expect_same(const Weights& one, const Weights& other, double tolerance) {
  const auto a = one.all();
  const auto b = other.all();
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(at::allclose(a[i].detach().to(at::kDouble), b[i].detach().to(at::kDouble),
                             tolerance, tolerance))
        << i;
  }
}

class Sharded : public ::testing::TestWithParam<at::ScalarType> {};

TEST_P(Sharded, StepsAsOneProcessDoes) {
  const double tolerance = GetParam() == at::kFloat ? 1e-6 : 1e-2;
  for (const int size : {2, 3, 4}) {
    const auto check = [&](Processes& all) {
      const Weights whole(GetParam());
      const Weights ours(GetParam());
      AdamW one(whole.trained(), kOptions);
      AdamW shared(ours.trained(), kOptions, all);
      EXPECT_EQ(shared.n_elements(), one.n_elements());
      EXPECT_LT(shared.state_bytes(), one.state_bytes());
      std::map<std::string, at::Tensor> saved;
      for (uint64_t step = 0; step < 4; ++step) {
        one.zero_gradients();
        shared.zero_gradients();
        for (int rank = 0; rank < size; ++rank) {
          const uint64_t sample = step * static_cast<uint64_t>(size) + static_cast<uint64_t>(rank);
          add_gradients(whole, sample);
          if (rank == all.rank()) add_gradients(ours, sample);
        }
        const StepOutcome wanted = one.step(1e-2);
        const StepOutcome found = shared.step(1e-2);
        EXPECT_NEAR(found.grad_norm, wanted.grad_norm, 1e-5 * wanted.grad_norm);
        if (step == 1) {  // what a run that goes on is given
          saved = shared.state();
          if (all.is_first()) {
            for (const auto& [name, tensor] : one.state()) {
              EXPECT_TRUE(at::allclose(saved.at(name), tensor, 1e-6, 1e-6)) << name;
            }
          }
          const Weights fresh(GetParam());
          AdamW other(fresh.trained(), kOptions, all);
          other.load_state(saved);
          for (size_t i = 0; i < ours.all().size(); ++i) {
            EXPECT_TRUE(at::equal(fresh.all()[i].detach(), ours.all()[i].detach())) << i;
          }
        }
      }
      expect_same(whole, ours, tolerance);
    };
    EXPECT_EQ(run_ranks(size, check), std::vector<int>(static_cast<size_t>(size), 0)) << size;
  }
}

// One process's gradient that is no number leaves the weights of all as they were.
TEST_P(Sharded, OneBadGradientChangesNothing) {
  const auto check = [&](Processes& all) {
    const Weights ours(GetParam());
    const at::Tensor before = ours.matrix.detach().clone();
    AdamW shared(ours.trained(), kOptions, all);
    add_gradients(ours, 1);
    if (all.rank() == 1) ours.vector.mul(HUGE_VAL).sum().backward();
    EXPECT_FALSE(shared.step(1e-2).applied);
    EXPECT_TRUE(at::equal(ours.matrix.detach(), before));
  };
  EXPECT_EQ(run_ranks(2, check), std::vector<int>(2, 0));
}

INSTANTIATE_TEST_SUITE_P(Dtype, Sharded, ::testing::Values(at::kFloat, at::kBFloat16),
                         [](const auto& p) { return p.param == at::kFloat ? "f32" : "bf16"; });

}  // namespace
}  // namespace regroup::testing
