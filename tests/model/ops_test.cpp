// The fused operations against their definitions in float64, forward and backward.
#include "regroup/model/ops.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rsqrt.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/zeros.h>

#include "model/gradient_check.h"

namespace regroup::testing {
namespace {

constexpr double kEps = 1e-5;

Tensor reference_norm(const Tensor& x, const Tensor& weight) {
  return x.mul(at::rsqrt(x.square().mean(-1, true).add(kEps))).mul(weight);
}

/// x as it is, as a transposed view, and as a view with a longer row.
Tensors layouts(const std::vector<int64_t>& shape, const Kind& kind) {
  std::vector<int64_t> longer = shape;
  longer.back() += 3;
  std::vector<int64_t> turned(shape.rbegin(), shape.rend());
  const Tensor view = random_tensor(turned, 2, kind.dtype, kind.device);
  std::vector<int64_t> order;
  for (auto i = static_cast<int64_t>(shape.size()) - 1; i >= 0; --i) order.push_back(i);
  return {random_tensor(shape, 1, kind.dtype, kind.device), view.permute(order),
          random_tensor(longer, 3, kind.dtype, kind.device).narrow(-1, 2, shape.back())};
}

TEST(Ops, RmsNorm) {
  const Function own = [](const Tensors& in) { return Tensors{rms_norm(in[0], in[1], kEps)}; };
  const Function reference = [](const Tensors& in) {
    return Tensors{reference_norm(in[0], in[1])};
  };
  for (const Kind& kind : kinds()) {
    const std::vector<int64_t> shapes[] = {{1, 3}, {2, 7}, {3, 5, 33}, {2, 4, 16}, {700, 48}};
    for (const auto& shape : shapes) {
      const Tensor weight = random_tensor({shape.back()}, 5, kind.dtype, kind.device);
      for (const Tensor& x : layouts(shape, kind)) compare("rms_norm", own, reference, {x, weight});
      const Tensor strided =
          random_tensor({shape.back(), 2}, 6, kind.dtype, kind.device).select(1, 1);
      compare("rms_norm, strided weight", own, reference, {layouts(shape, kind)[0], strided});
    }
  }
}

// In bfloat16 the sum is rounded first, and the norm is that of the rounded sum.
TEST(Ops, AddRmsNorm) {
  const Function own = [](const Tensors& in) {
    const auto [sum, y] = add_norm(in[0], in[1], {in[2], {}}, kEps);
    return Tensors{sum, y};
  };
  for (const Kind& kind : kinds()) {
    const Function reference = [&](const Tensors& in) {
      const Tensor sum = in[0].add(in[1]);
      const Tensor error = sum.detach().to(kind.dtype).to(at::kDouble).sub(sum.detach());
      const Tensor rounded = sum.add(error);
      return Tensors{rounded, reference_norm(rounded, in[2])};
    };
    const std::vector<int64_t> shapes[] = {{2, 7}, {3, 5, 33}, {300, 16}};
    for (const auto& shape : shapes) {
      const Tensor weight = random_tensor({shape.back()}, 5, kind.dtype, kind.device);
      const Tensors x = layouts(shape, kind);
      for (size_t i = 0; i < x.size(); ++i) {
        compare("add_norm", own, reference, {x[i], x[(i + 1) % x.size()], weight});
      }
    }
  }
}

/// add_norm with LayerNorm of a kind: x, delta, and of weight and bias what it has.
void check_layer_norm(Norm norm_kind) {
  const bool has_weight = norm_kind != Norm::kLayerBare;
  const bool has_bias = norm_kind == Norm::kLayer;
  const Function own = [&](const Tensors& in) {
    const NormWeights weights{.weight = has_weight ? in[2] : Tensor(),
                              .bias = has_bias ? in[3] : Tensor(),
                              .kind = norm_kind};
    const auto [sum, y] = add_norm(in[0], in[1], weights, kEps);
    return Tensors{sum, y};
  };
  for (const Kind& kind : kinds()) {
    const Function reference = [&](const Tensors& in) {
      const Tensor sum = in[0].add(in[1]);
      const Tensor error = sum.detach().to(kind.dtype).to(at::kDouble).sub(sum.detach());
      const Tensor rounded = sum.add(error);
      const Tensor centred = rounded.sub(rounded.mean(-1, true));
      Tensor y = centred.div(centred.square().mean(-1, true).add(kEps).sqrt());
      if (has_weight) y = y.mul(in[2]);
      if (has_bias) y = y.add(in[3]);
      return Tensors{rounded, y};
    };
    const std::vector<int64_t> shapes[] = {{2, 7}, {3, 5, 33}, {300, 16}};
    for (const auto& shape : shapes) {
      const Tensors x = layouts(shape, kind);
      for (size_t i = 0; i < x.size(); ++i) {
        Tensors in = {x[i], x[(i + 1) % x.size()]};
        if (has_weight) in.push_back(random_tensor({shape.back()}, 5, kind.dtype, kind.device));
        if (has_bias) in.push_back(random_tensor({shape.back()}, 6, kind.dtype, kind.device));
        compare("add_norm, LayerNorm", own, reference, in);
      }
    }
  }
}

TEST(Ops, AddLayerNorm) { check_layer_norm(Norm::kLayer); }
TEST(Ops, AddLayerNormWithoutABias) { check_layer_norm(Norm::kLayerScale); }
TEST(Ops, AddLayerNormWithoutWeights) { check_layer_norm(Norm::kLayerBare); }

TEST(Ops, SwiGlu) {
  const Function own = [](const Tensors& in) { return Tensors{swiglu(in[0])}; };
  const Function reference = [](const Tensors& in) {
    const auto parts = in[0].chunk(2, -1);
    return Tensors{at::silu(parts[0]).mul(parts[1])};
  };
  for (const Kind& kind : kinds()) {
    const std::vector<int64_t> shapes[] = {{1, 2}, {2, 14}, {3, 5, 66}, {2, 4, 32}};
    for (const auto& shape : shapes) {
      for (const Tensor& x : layouts(shape, kind)) compare("swiglu", own, reference, {x});
    }
  }
}

// silu(g) tends to g above and to 0 below; e^-g does not overflow on the way.
TEST(Ops, SwiGluOfLargeGates) {
  for (const Kind& kind : kinds()) {
    const Tensor gate_up =
        at::tensor({100.0, -100.0, 1000.0, -1000.0, 0.0, 2.0, 2.0, 2.0, 2.0, 2.0})
            .view({1, 10})
            .to(kind.device, kind.dtype)
            .set_requires_grad(true);
    const Tensor y = swiglu(gate_up);
    const Tensor expected = at::tensor({200.0, 0.0, 2000.0, 0.0, 0.0}).view({1, 5});
    EXPECT_LE(y.to(at::kCPU, at::kDouble).sub(expected).abs().max().item<double>(), 1e-6);
    // d silu / d gate is 1, 0, 1, 0, 1/2; times up = 2.
    const Tensor d = gradients({y.sum()}, {gate_up}, {})[0].to(at::kCPU, at::kDouble);
    const Tensor slope = at::tensor({2.0, 0.0, 2.0, 0.0, 1.0}).view({1, 5});
    EXPECT_LE(d.narrow(1, 0, 5).sub(slope).abs().max().item<double>(), 1e-6);
  }
}

Tensor rotated(const Tensor& x, const RopeTable& table) {
  const Tensor cos = table.cos.to(at::kCPU, at::kDouble);
  const Tensor sin = table.sin.to(at::kCPU, at::kDouble);
  const int64_t half = cos.size(1);
  const Tensor a = x.narrow(-1, 0, half);
  const Tensor b = x.narrow(-1, half, half);
  return at::cat({a.mul(cos).sub(b.mul(sin)), b.mul(cos).add(a.mul(sin)),
                  x.narrow(-1, 2 * half, x.size(-1) - 2 * half)},
                 -1);
}

TEST(Ops, SplitRope) {
  struct Sizes {
    int64_t batch, seq, n_heads, n_kv_heads, head_dim, rotary_dim;
  };
  const Sizes all[] = {{1, 1, 1, 1, 2, 2}, {2, 5, 6, 3, 10, 10}, {2, 3, 8, 1, 16, 16},
                       {1, 7, 4, 4, 6, 6}, {2, 5, 6, 3, 10, 6},  {1, 7, 4, 2, 20, 2}};
  for (const Kind& kind : kinds()) {
    for (const Sizes& n : all) {
      const Tensor angles = random_tensor({n.seq, n.rotary_dim / 2}, 8, at::kFloat, kind.device);
      const RopeTable table{angles.cos().mul(1.25), angles.sin().mul(1.25)};
      const Function own = [&](const Tensors& in) {
        const auto [q, k, v] = split_rope(in[0], table, n.n_heads, n.n_kv_heads, n.head_dim);
        for (const Tensor& x : {q, k, v}) EXPECT_TRUE(!x.is_cpu() || x.stride(-1) == 1);
        return Tensors{q, k, v};
      };
      const Function reference = [&](const Tensors& in) {
        const auto part = [&](int64_t first, int64_t heads) {
          return in[0]
              .narrow(-1, first * n.head_dim, heads * n.head_dim)
              .unflatten(-1, {heads, n.head_dim})
              .transpose(1, 2);
        };
        return Tensors{rotated(part(0, n.n_heads), table),
                       rotated(part(n.n_heads, n.n_kv_heads), table),
                       part(n.n_heads + n.n_kv_heads, n.n_kv_heads)};
      };
      const int64_t row = (n.n_heads + 2 * n.n_kv_heads) * n.head_dim;
      for (const Tensor& x : layouts({n.batch, n.seq, row}, kind)) {
        compare("split_rope", own, reference, {x});
      }
    }
  }
}

// A gradient that autograd expands (that of a sum) has stride 0 everywhere.
TEST(Ops, ExpandedGradients) {
  for (const Kind& kind : kinds()) {
    const auto leaf = [&](std::vector<int64_t> shape, uint64_t seed) {
      return random_tensor(shape, seed, kind.dtype, kind.device).set_requires_grad(true);
    };
    const Tensor x = leaf({3, 6}, 1);
    const Tensor delta = leaf({3, 6}, 2);
    const Tensor weight = leaf({6}, 3);
    const auto by_sum = [&](const Tensor& y) { return gradients({y.sum()}, {x}, {})[0]; };
    const auto by_ones = [&](const Tensor& y) {
      return gradients({y}, {x}, {at::ones(y.sizes(), y.options())})[0];
    };
    EXPECT_TRUE(by_sum(rms_norm(x, weight, kEps)).equal(by_ones(rms_norm(x, weight, kEps))));
    EXPECT_TRUE(by_sum(swiglu(x)).equal(by_ones(swiglu(x))));
    const auto y_of = [&] { return std::get<1>(add_norm(x, delta, {weight, {}}, kEps)); };
    EXPECT_TRUE(by_sum(y_of()).equal(by_ones(y_of())));
  }
}

// The definitions themselves, by central differences in float64.
TEST(Ops, NumericGradients) {
  const RopeTable table{random_tensor({2, 3}, 8).cos(), random_tensor({2, 3}, 8).sin()};
  struct Case {
    const char* what;
    std::vector<int64_t> shape;
    std::function<Tensor(const Tensor&)> function;
  };
  const Tensor weight = random_tensor({6}, 5, at::kDouble);
  const Case cases[] = {
      {"rms_norm", {2, 6}, [&](const Tensor& x) { return rms_norm(x, weight, kEps); }},
      {"rms_norm's weight",
       {6},
       [&](const Tensor& w) {
         return rms_norm(random_tensor({3, 6}, 4, at::kDouble), w, kEps);
       }},
      {"add_norm",
       {2, 6},
       [&](const Tensor& x) {
         return std::get<1>(add_norm(x, weight, {weight, {}}, kEps));
       }},
      {"swiglu", {2, 6}, [](const Tensor& x) { return swiglu(x); }},
      {"split_rope",
       {1, 2, 24},
       [&](const Tensor& x) {
         const auto [q, k, v] = split_rope(x, table, 2, 1, 6);
         return at::cat({q, k, v}, 1);
       }},
  };
  for (const Case& c : cases) {
    const Tensor x = random_tensor(c.shape, 1, at::kDouble).set_requires_grad(true);
    const Tensor y = c.function(x);
    const Tensor up = random_tensor(y.sizes().vec(), 2, at::kDouble);
    const Tensor exact = gradients({y}, {x}, {up})[0].flatten();
    constexpr double kStep = 1e-5;
    for (int64_t i = 0; i < x.numel(); ++i) {
      const auto value_at = [&](double shift) {
        const Tensor moved = x.detach().clone();
        moved.data_ptr<double>()[i] += shift;
        return c.function(moved).mul(up).sum().item<double>();
      };
      const double slope = (value_at(kStep) - value_at(-kStep)) / (2 * kStep);
      EXPECT_NEAR(exact[i].item<double>(), slope, 1e-7) << c.what << ", element " << i;
    }
  }
}

// A weight's gradient is a sum over rows, in an order that the number of threads does not change.
TEST(Ops, ThreadsDoNotChangeBits) {
  const Tensor x = random_tensor({999, 40}, 1).set_requires_grad(true);
  const Tensor weight = random_tensor({40}, 2).set_requires_grad(true);
  const auto run = [&](int threads) {
    set_threads(threads);
    const Tensor y = rms_norm(x, weight, kEps);
    Tensors found = gradients({y}, {x, weight}, {random_tensor({999, 40}, 3)});
    set_threads(1);
    found.push_back(y);
    return found;
  };
  const Tensors one = run(1);
  for (const int threads : {2, 3}) {
    const Tensors more = run(threads);
    for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(more[i])) << i;
  }
}

TEST(Ops, NoRows) {
  const Tensor weight = at::ones({6}).set_requires_grad(true);
  const Tensor none = at::zeros({0, 6});
  const Tensor y = rms_norm(none, weight, kEps);
  EXPECT_EQ(y.numel(), 0);
  EXPECT_TRUE(gradients({y.sum()}, {weight}, {})[0].equal(at::zeros({6})));
  EXPECT_EQ(swiglu(none).sizes(), (std::vector<int64_t>{0, 3}));
}

}  // namespace
}  // namespace regroup::testing
