// Each CPU kernel and ATen's best for the same operation, forward and backward. bench/kernels runs it for every
// target; REGROUP_SIMD chooses ours, ATEN_CPU_CAPABILITY theirs.
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/kl_div.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/nll_loss.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "losses/cross_entropy.h"
#include "regroup/model/distillation.h"
#include "regroup/model/ops.h"
#include "regroup/model/runtime.h"
#include "regroup/model/simd.h"

namespace regroup {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

Tensor leaf(at::IntArrayRef shape, at::ScalarType dtype) {
  return at::randn(shape, dtype).set_requires_grad(true);
}

/// Outputs of one forward pass, then the gradients of `inputs`.
void both_ways(const std::function<Tensors()>& forward, const Tensors& inputs) {
  const Tensors outputs = forward();
  Tensors upstream;
  for (const Tensor& y : outputs) upstream.push_back(y.detach());
  benchmark::DoNotOptimize(torch::autograd::grad(outputs, inputs, upstream));
}

void add(const std::string& name, const std::string& whose, const std::function<void()>& run) {
  benchmark::RegisterBenchmark((name + "/" + whose).c_str(),
                               [run](benchmark::State& state) {
                                 for (auto _ : state) run();
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

void add_pair(const std::string& name, const Tensors& inputs, const std::function<Tensors()>& ours,
              const std::function<Tensors()>& aten) {
  add(name, "ours", [=] { both_ways(ours, inputs); });
  add(name, "ATen", [=] { both_ways(aten, inputs); });
}

struct Heads {
  int64_t batch, seq, q, kv, dim;
};

void add_attention(const std::string& what, at::ScalarType dtype, const Heads& n) {
  const Tensor q = leaf({n.batch, n.q, n.seq, n.dim}, dtype);
  const Tensor k = leaf({n.batch, n.kv, n.seq, n.dim}, dtype);
  const Tensor v = leaf({n.batch, n.kv, n.seq, n.dim}, dtype);
  add_pair(
      what, {q, k, v}, [=] { return Tensors{causal_attention(q, k, v)}; },
      [=] {
        return Tensors{at::scaled_dot_product_attention(q, k, v, {}, 0.0, /*is_causal=*/true, {},
                                                        /*enable_gqa=*/n.q != n.kv)};
      });
}

/// As transformers writes it.
Tensor rotated(const Tensor& x, const Tensor& cos, const Tensor& sin) {
  const auto halves = x.chunk(2, -1);
  return x.mul(cos).add(at::cat({halves[1].neg(), halves[0]}, -1).mul(sin));
}

void add_rope(const std::string& what, at::ScalarType dtype, const Heads& n) {
  const Tensor qkv = leaf({n.batch, n.seq, (n.q + 2 * n.kv) * n.dim}, dtype);
  const Tensor angles = at::randn({n.seq, n.dim / 2});
  const RopeTable table{angles.cos(), angles.sin()};
  const Tensor cos = at::cat({table.cos, table.cos}, 1).to(dtype);
  const Tensor sin = at::cat({table.sin, table.sin}, 1).to(dtype);
  add_pair(
      what, {qkv},
      [=] {
        const auto [q, k, v] = split_rope(qkv, table, n.q, n.kv, n.dim);
        return Tensors{q, k, v};
      },
      [=] {
        const auto part = [&](int64_t first, int64_t heads) {
          return qkv.narrow(-1, first * n.dim, heads * n.dim)
              .unflatten(-1, {heads, n.dim})
              .transpose(1, 2);
        };
        return Tensors{rotated(part(0, n.q), cos, sin), rotated(part(n.q, n.kv), cos, sin),
                       part(n.q + n.kv, n.kv)};
      });
}

void add_rows(at::ScalarType dtype, const std::string& suffix) {
  const Tensor x = leaf({8192, 256}, dtype);
  const Tensor weight = leaf({256}, dtype);
  add_pair(
      "RMSNorm 8192 x 256" + suffix, {x, weight},
      [=] { return Tensors{rms_norm(x, weight, 1e-5)}; },
      [=] { return Tensors{at::rms_norm(x, {256}, weight, 1e-5)}; });
  const Tensor gate_up = leaf({8192, 2 * 704}, dtype);
  add_pair(
      "SwiGLU 8192 x 704" + suffix, {gate_up}, [=] { return Tensors{swiglu(gate_up)}; },
      [=] {
        const auto parts = gate_up.chunk(2, -1);
        return Tensors{at::silu(parts[0]).mul(parts[1])};
      });
  add_rope("RoPE 32 x 256, 8 heads of 32" + suffix, dtype, {32, 256, 8, 8, 32});
  add_attention("attention 32 x 256, 8 heads of 32" + suffix, dtype, {32, 256, 8, 8, 32});
  add_attention("attention 4 x 1024, 9/3 heads of 64" + suffix, dtype, {4, 1024, 9, 3, 64});
}

void add_losses(int64_t rows, int64_t vocab) {
  const std::string size = std::to_string(rows) + " x " + std::to_string(vocab);
  const Tensor targets = at::randint(vocab, {rows}, at::kLong);
  const Tensor logits = leaf({rows, vocab}, at::kFloat);
  const Tensor teacher = at::randn({rows, vocab});
  const Tensor own = at::randn({rows, vocab});  // overwritten each time, which costs the same
  const Tensor own_teacher = at::randn({rows, vocab});
  add("cross-entropy " + size, "ours", [=] { cross_entropy_(own, targets, 1e-3); });
  add("cross-entropy " + size, "ATen", [=] {
    both_ways([&] { return Tensors{at::cross_entropy_loss(logits, targets)}; }, {logits});
  });
  add("cross-entropy and KL " + size, "ours", [=] {
    distillation_gradient_(own, own_teacher, targets, 1e-3, {0.5, 1.0});
  });
  add("cross-entropy and KL " + size, "ATen", [=] {
    both_ways(
        [&] {
          const Tensor log_s = at::log_softmax(logits, 1);
          const Tensor kl = at::kl_div(log_s, at::log_softmax(teacher, 1), at::Reduction::Sum,
                                       /*log_target=*/true);
          return Tensors{kl.add(at::nll_loss(log_s, targets))};
        },
        {logits});
  });
}

}  // namespace
}  // namespace regroup

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  regroup::set_threads(0);
  regroup::keep_freed_memory();
  regroup::use_simd_target_of_environment();
  benchmark::AddCustomContext("simd", regroup::simd_target());
  regroup::add_rows(at::kFloat, "");
  regroup::add_rows(at::kBFloat16, ", bf16");
  regroup::add_losses(2048, 512);
  regroup::add_losses(256, 32000);
  benchmark::RunSpecifiedBenchmarks();
}
