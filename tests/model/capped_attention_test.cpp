// Attention with bounded scores, against its definition in float64.
#include "blocks/capped_attention.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tanh.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "model/decoder_tools.h"

namespace regroup::testing {
namespace {

using at::Tensor;

constexpr double kCap = 0.8;

/// One query after the other: what it sees, its shares, and what it mixes.
Tensor defined_attention(const Tensor& q, const Tensor& k, const Tensor& v, int64_t window) {
  const int64_t readers = q.size(1) / k.size(1);
  const int64_t past = k.size(2) - q.size(2);
  const Tensor keys = k.repeat_interleave(readers, 1);
  const Tensor values = v.repeat_interleave(readers, 1);
  std::vector<Tensor> rows;
  for (int64_t t = 0; t < q.size(2); ++t) {
    const int64_t last = past + t + 1;
    const int64_t first = window > 0 ? std::max<int64_t>(0, last - window) : 0;
    const Tensor seen = keys.narrow(2, first, last - first);
    const Tensor scores = at::matmul(q.narrow(2, t, 1), seen.transpose(-1, -2))
                              .div(std::sqrt(static_cast<double>(q.size(3))));
    const Tensor shares = at::softmax(scores.div(kCap).tanh().mul(kCap), -1);
    rows.push_back(at::matmul(shares, values.narrow(2, first, last - first)));
  }
  return at::cat(rows, 2).transpose(1, 2).flatten(2);
}

TEST(CappedAttention, FollowsItsDefinition) {
  for (const auto& [past, seq, window] : std::vector<std::array<int64_t, 3>>{
           {0, 9, 0}, {0, 9, 4}, {5, 3, 0}, {5, 3, 4}, {11, 1, 0}, {11, 1, 5}, {0, 9, 100}}) {
    SCOPED_TRACE(fmt::format("{} tokens behind {}, window {}", seq, past, window));
    const Tensor q = random_tensor({2, 6, seq, 8}, 1).to(at::kDouble).mul(3);
    const Tensor k = random_tensor({2, 2, past + seq, 8}, 2).to(at::kDouble).mul(3);
    const Tensor v = random_tensor({2, 2, past + seq, 8}, 3).to(at::kDouble);
    const Tensor wanted = defined_attention(q, k, v, window);
    EXPECT_LE(relative_error(capped_attention(q, k, v, window, kCap), wanted), 1e-12);
    const auto narrow = [](const Tensor& x) { return x.to(at::kFloat); };
    EXPECT_LE(
        relative_error(capped_attention(narrow(q), narrow(k), narrow(v), window, kCap), wanted),
        1e-6);
  }
}

// More scores than are computed at once: blocks of queries give the same as one.
TEST(CappedAttention, GoesBlockByBlock) {
  const Tensor q = random_tensor({1, 16, 1200, 4}, 1);
  const Tensor k = random_tensor({1, 2, 1200, 4}, 2);
  const Tensor v = random_tensor({1, 2, 1200, 4}, 3);
  const Tensor all = capped_attention(q, k, v, 0, kCap);
  const Tensor last = capped_attention(q.narrow(2, 1100, 100), k, v, 0, kCap);
  EXPECT_LE(relative_error(all.narrow(1, 1100, 100), last), 1e-6);
}

}  // namespace
}  // namespace regroup::testing
