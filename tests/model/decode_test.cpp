// The kernels of one new token against the definition in float64.
#include "decoding/decode.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/softmax.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

double tolerance(at::ScalarType dtype) { return dtype == at::kFloat ? 5e-6 : 8e-3; }

/// Scores over the keys that are seen, softmax, mixture: [batch, 1, n_heads * head_dim] in float64.
at::Tensor definition(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                      int64_t window) {
  const int64_t length = k.size(2);
  const int64_t first = window > 0 ? std::max<int64_t>(0, length - window) : 0;
  const int64_t group = q.size(1) / k.size(1);
  const auto seen = [&](const at::Tensor& x) {
    return x.to(at::kDouble).narrow(2, first, length - first).repeat_interleave(group, 1);
  };
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(3)));
  const at::Tensor scores = q.to(at::kDouble).matmul(seen(k).transpose(2, 3)).mul(scale);
  return at::softmax(scores, -1).matmul(seen(v)).transpose(1, 2).flatten(2);
}

/// A cache with room beyond `length`, filled with what must not be read.
at::Tensor cache(int64_t batch, int64_t heads, int64_t length, int64_t dim, uint64_t seed,
                 at::ScalarType dtype) {
  const at::Tensor all = random_tensor({batch, heads, length + 9, dim}, seed, dtype);
  all.narrow(2, length, 9).fill_(std::nan(""));
  return all.narrow(2, 0, length);
}

// Spans hold 128 keys: one, one and a key, many, and windows that begin inside one.
TEST(Decode, AttentionIsTheDefinition) {
  const c10::InferenceMode no_gradients;
  const std::pair<int64_t, int64_t> heads[] = {{4, 4}, {6, 2}, {9, 1}};
  uint64_t seed = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const auto& [n_heads, n_kv_heads] : heads) {
      for (const int64_t dim : {8, 20, 64, 80}) {
        for (const int64_t length : {1, 3, 127, 128, 129, 300}) {
          for (const int64_t window : {0, 1, 130, 1000}) {
            const at::Tensor q = random_tensor({2, n_heads, 1, dim}, ++seed, dtype);
            const at::Tensor k = cache(2, n_kv_heads, length, dim, ++seed, dtype);
            const at::Tensor v = cache(2, n_kv_heads, length, dim, ++seed, dtype);
            ASSERT_TRUE(takes_decode_attention(q, k));
            const at::Tensor made =
                decode_attention(q, k, v, std::vector<int64_t>(2, length), window);
            EXPECT_EQ(made.scalar_type(), dtype);
            EXPECT_LE(relative_error(made, definition(q, k, v, window)), tolerance(dtype))
                << fmt::format("{} heads of {}, {} KV, length {}, window {}", n_heads, dim,
                               n_kv_heads, length, window);
          }
        }
      }
    }
  }
}

// Of each sequence the keys that it has.
TEST(Decode, SequencesOfDifferentLengths) {
  const c10::InferenceMode no_gradients;
  const std::vector<int64_t> lengths = {1, 300, 128, 129};
  uint64_t seed = 500;
  for (const int64_t window : {0, 130}) {
    const at::Tensor q = random_tensor({4, 6, 1, 20}, ++seed);
    const at::Tensor k = cache(4, 2, 300, 20, ++seed, at::kFloat);
    const at::Tensor v = cache(4, 2, 300, 20, ++seed, at::kFloat);
    const at::Tensor made = decode_attention(q, k, v, lengths, window);
    for (int64_t row = 0; row < 4; ++row) {
      const auto own = [&](const at::Tensor& x) {
        return x.narrow(0, row, 1).narrow(2, 0, lengths[static_cast<size_t>(row)]);
      };
      EXPECT_LE(relative_error(made.narrow(0, row, 1),
                               definition(q.narrow(0, row, 1), own(k), own(v), window)),
                5e-6)
          << row;
    }
  }
}

// Scores of 200: without the largest taken out the exponentials are infinite.
TEST(Decode, LargeScoresStayFinite) {
  const c10::InferenceMode no_gradients;
  const at::Tensor q = random_tensor({1, 2, 1, 16}, 1).mul(30);
  const at::Tensor k = cache(1, 1, 200, 16, 2, at::kFloat).mul(7);
  const at::Tensor v = cache(1, 1, 200, 16, 3, at::kFloat);
  EXPECT_LE(relative_error(decode_attention(q, k, v, std::vector<int64_t>{200}, 0),
                           definition(q, k, v, 0)),
            1e-5);
}

TEST(Decode, ProjectionIsTheDefinition) {
  const c10::InferenceMode no_gradients;
  uint64_t seed = 0;
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t rows : {1, 2, 8}) {
      for (const int64_t in : {1, 7, 33, 256, 1000}) {
        for (const int64_t out : {1, 3, 64, 501}) {
          const at::Tensor x = random_tensor({rows, in}, ++seed, dtype);
          const at::Tensor weight = random_tensor({out, in}, ++seed, dtype);
          const at::Tensor bias = random_tensor({out}, ++seed, dtype);
          ASSERT_TRUE(takes_few_rows(x, weight));
          for (const at::Tensor& b : {at::Tensor(), bias}) {
            const auto wide = b.defined() ? std::optional(b.to(at::kDouble)) : std::nullopt;
            const at::Tensor expected = at::linear(x.to(at::kDouble), weight.to(at::kDouble), wide);
            EXPECT_LE(relative_error(project_few(x, weight, b), expected), tolerance(dtype))
                << fmt::format("{} x {} -> {}", rows, in, out);
          }
        }
      }
    }
  }
}

TEST(Decode, LeavesTheRestToOthers) {
  const at::Tensor x = random_tensor({2, 8}, 1);
  const at::Tensor weight = random_tensor({4, 8}, 2);
  EXPECT_FALSE(takes_few_rows(x, weight)) << "gradients are on";
  const c10::InferenceMode no_gradients;
  EXPECT_TRUE(takes_few_rows(x, weight));
  EXPECT_FALSE(takes_few_rows(random_tensor({9, 8}, 1), weight)) << "many rows";
  EXPECT_FALSE(takes_few_rows(x, random_tensor({8, 4}, 2).t())) << "a weight that is not dense";
  EXPECT_FALSE(takes_few_rows(x.to(at::kDouble), weight.to(at::kDouble)));
  const at::Tensor k = random_tensor({1, 2, 5, 8}, 3);
  EXPECT_FALSE(takes_decode_attention(random_tensor({1, 2, 2, 8}, 4), k)) << "two new tokens";
  EXPECT_FALSE(takes_decode_attention(random_tensor({1, 2, 1, 8}, 4), k.transpose(1, 2)));
}

}  // namespace
}  // namespace regroup::testing
