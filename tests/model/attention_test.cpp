// Attention and projections against their definitions in float64, forward and backward.
#include <ATen/ops/arange.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>

#include "model/gradient_check.h"
#include "regroup/model/layer.h"
#include "regroup/model/ops.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

struct Sizes {
  int64_t batch, seq, n_heads, n_kv_heads, head_dim, window;
};

/// softmax(q k^T / sqrt(d)) v with every KV head written out for its query heads.
Tensor reference_attention(const Tensors& in, const Sizes& n) {
  const int64_t group = n.n_heads / n.n_kv_heads;
  const Tensor k = in[1].repeat_interleave(group, 1);
  const Tensor v = in[2].repeat_interleave(group, 1);
  const Tensor row = at::arange(n.seq, at::kLong);
  const Tensor back = row.unsqueeze(1).sub(row.unsqueeze(0));  // [query, key]
  Tensor hidden = back.lt(0);
  if (n.window > 0) hidden = hidden.logical_or(back.ge(n.window));
  const Tensor scores = at::matmul(in[0], k.transpose(2, 3))
                            .div(std::sqrt(static_cast<double>(n.head_dim)))
                            .masked_fill(hidden, -1e300);
  return at::matmul(at::softmax(scores, -1), v).transpose(1, 2).flatten(2);
}

const Sizes kSizes[] = {
    {1, 1, 1, 1, 16, 0},   {2, 5, 2, 2, 16, 0},   {1, 16, 4, 2, 32, 0},   {2, 17, 6, 3, 48, 0},
    {1, 70, 4, 1, 64, 0},  {1, 130, 2, 1, 16, 0}, {2, 9, 3, 1, 10, 0},    {1, 35, 2, 1, 80, 0},
    {1, 40, 4, 2, 16, 1},  {1, 40, 4, 2, 16, 7},  {1, 130, 2, 2, 32, 64}, {1, 130, 2, 1, 32, 65},
    {1, 20, 2, 1, 16, 99}, {1, 33, 2, 1, 10, 5},
};

std::string describe(const Sizes& n, const Kind& kind) {
  return "seq " + std::to_string(n.seq) + ", heads " + std::to_string(n.n_heads) + "/" +
         std::to_string(n.n_kv_heads) + ", d " + std::to_string(n.head_dim) + ", window " +
         std::to_string(n.window) + ", " + compute_dtype_name(kind.dtype);
}

TEST(Attention, EqualsItsDefinition) {
  for (const Kind& kind : kinds()) {
    for (const Sizes& n : kSizes) {
      SCOPED_TRACE(describe(n, kind));
      const auto head_rows = [&](int64_t heads, uint64_t seed) {
        return random_tensor({n.batch, heads, n.seq, n.head_dim}, seed, kind.dtype, kind.device);
      };
      const Function own = [&](const Tensors& in) {
        return Tensors{causal_attention(in[0], in[1], in[2], n.window)};
      };
      const Function reference = [&](const Tensors& in) {
        return Tensors{reference_attention(in, n)};
      };
      compare("causal_attention", own, reference,
              {head_rows(n.n_heads, 1), head_rows(n.n_kv_heads, 2), head_rows(n.n_kv_heads, 3)});
    }
  }
}

// The decoder hands over views of one fused tensor, batch and sequence outside the heads.
TEST(Attention, ViewsOfOneTensor) {
  for (const Kind& kind : kinds()) {
    const Sizes n{2, 21, 4, 2, 16, 0};
    const Function parts = [](const Tensors& in) {
      const auto part = [&](int64_t first, int64_t heads) {
        return in[0].narrow(-1, first * 16, heads * 16).unflatten(-1, {heads, 16}).transpose(1, 2);
      };
      return Tensors{part(0, 4), part(4, 2), part(6, 2)};
    };
    const Function own = [&](const Tensors& in) {
      const Tensors p = parts(in);
      return Tensors{causal_attention(p[0], p[1], p[2])};
    };
    const Function reference = [&](const Tensors& in) {
      return Tensors{reference_attention(parts(in), n)};
    };
    compare("causal_attention", own, reference,
            {random_tensor({2, 21, 8 * 16}, 5, kind.dtype, kind.device)});
  }
}

// Scores of hundreds: the softmax is a choice, and nothing overflows.
TEST(Attention, LargeScores) {
  const Tensor q = random_tensor({1, 1, 40, 16}, 1).mul(60.0);
  const Tensor k = random_tensor({1, 1, 40, 16}, 2).mul(60.0);
  const Tensor v = random_tensor({1, 1, 40, 16}, 3);
  const Tensor expected = reference_attention(widened({q, k, v}), {1, 40, 1, 1, 16, 0});
  EXPECT_LE(relative_error(causal_attention(q, k, v), expected), 1e-4);
}

TEST(Attention, NoNumberStaysNoNumber) {
  Tensor q = random_tensor({1, 1, 20, 16}, 1);
  q.data_ptr<float>()[3 * 16] = std::numeric_limits<float>::quiet_NaN();
  const Tensor kv = random_tensor({1, 1, 20, 16}, 2);
  const Tensor y = causal_attention(q, kv, kv);  // [1, 20, 16]
  EXPECT_TRUE(y.select(1, 3).isnan().any().item<bool>());
  EXPECT_FALSE(y.select(1, 2).isnan().any().item<bool>());
}

TEST(Attention, ThreadsDoNotChangeBits) {
  const Tensor qkv = random_tensor({3, 4, 33, 16}, 1).set_requires_grad(true);
  const Tensor up = random_tensor({3, 33, 64}, 2);
  const auto run = [&](int threads) {
    set_threads(threads);
    const Tensor y = causal_attention(qkv, qkv, qkv);
    const Tensors found = {y, gradients({y}, {qkv}, {up})[0]};
    set_threads(1);
    return found;
  };
  const Tensors one = run(1);
  const Tensors two = run(2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].equal(two[i])) << i;
}

TEST(Projection, EqualsItsDefinition) {
  for (const Kind& kind : kinds()) {
    for (const int64_t rows : {1, 31, 32, 100}) {  // on both sides of the change of kernels
      SCOPED_TRACE(rows);
      const Tensors inputs = {random_tensor({2, rows, 24}, 1, kind.dtype, kind.device),
                              random_tensor({40, 24}, 2, kind.dtype, kind.device),
                              random_tensor({40}, 3, kind.dtype, kind.device)};
      const Function own = [](const Tensors& in) {
        return Tensors{project(in[0], in[1], in[2]), project(in[0], in[1])};
      };
      const Function reference = [](const Tensors& in) {
        const Tensor y = at::matmul(in[0], in[1].t());
        return Tensors{y.add(in[2]), y};
      };
      compare("project", own, reference, inputs);
      compare(
          "project, transposed weight",
          [](const Tensors& in) { return Tensors{project(in[0], in[1].t())}; },
          [](const Tensors& in) { return Tensors{at::matmul(in[0], in[1])}; },
          {inputs[0], inputs[1].t().contiguous()});
    }
  }
}

// Columns of the family table that only conversion knows: no model of that kind is computed as if it were another.
TEST(Attention, OfAnotherKindIsNotComputed) {
  const ModelConfig plain = parse_model_config(tiny_config({}), "config.json");
  EXPECT_NO_THROW(make_rope_tables(plain, 4, 4, at::kCPU));
  using Position = AttentionTraits::Position;
  for (const AttentionTraits& traits :
       {AttentionTraits{.position = Position::kNone}, AttentionTraits{.position = Position::kAlibi},
        AttentionTraits{.sinks = true}}) {
    ModelConfig other = plain;
    other.attention = traits;
    expect_error<UnsupportedError>("CFG_UNSUPPORTED",
                                   [&] { make_rope_tables(other, 4, 4, at::kCPU); });
  }
}

}  // namespace
}  // namespace regroup::testing
