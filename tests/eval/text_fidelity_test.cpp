// What single tokens are off by, against all logits in double precision.
#include <ATen/ops/log_softmax.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "model/decoder_tools.h"
#include "regroup/eval/text_eval.h"
#include "support/expect_error.h"

namespace regroup::testing {
namespace {

constexpr double kBin = 1. / 128;  // a bin's width, of its numbers

TokenStream random_stream(int64_t n, uint64_t seed = 1) {
  const at::Tensor ids = random_ids(1, n, 64, seed);
  return {.name = "text",
          .ids = {ids.data_ptr<int64_t>(), ids.data_ptr<int64_t>() + n},
          .bytes = {},
          .words = {}};
}

/// Linear between the two next to share * (n - 1).
double sorted_quantile(std::vector<double> numbers, double share) {
  std::sort(numbers.begin(), numbers.end());
  const double at = share * static_cast<double>(numbers.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, numbers.size() - 1);
  return numbers[below] + (at - std::floor(at)) * (numbers[above] - numbers[below]);
}

/// One number a token, in order.
struct Distances {
  std::vector<double> kl;
  std::vector<double> delta_p;
};

/// Window by window: the logits of every token, and sums over the vocabulary in float64.
Distances distances_of(const Decoder& base, const Decoder& model, const TokenStream& stream,
                       int64_t seq_len) {
  Distances all;
  const auto n = static_cast<int64_t>(stream.ids.size()) - 1;
  for (int64_t first = 0; first < n; first += seq_len) {
    const int64_t length = std::min(seq_len, n - first);
    const std::vector<int64_t> ids(stream.ids.begin() + first, stream.ids.begin() + first + length);
    const auto log_probs = [&](const Decoder& of) {  // [length, vocab]
      const at::Tensor input = at::tensor(ids, at::kLong).unsqueeze(0).to(of.device());
      return at::log_softmax(all_logits(of, input).to(at::kCPU, at::kDouble), -1)[0];
    };
    const at::Tensor p = log_probs(base);
    const at::Tensor q = log_probs(model);
    for (int64_t i = 0; i < length; ++i) {
      double kl = 0;
      for (int64_t v = 0; v < p.size(1); ++v) {
        const double log_p = p[i][v].item<double>();
        kl += std::exp(log_p) * (log_p - q[i][v].item<double>());
      }
      const int64_t right = stream.ids[static_cast<size_t>(first + i + 1)];
      all.kl.push_back(kl);
      all.delta_p.push_back(std::exp(q[i][right].item<double>()) -
                            std::exp(p[i][right].item<double>()));
    }
  }
  return all;
}

class TextFidelity : public ::testing::Test {
 protected:
  TextFidelity() {
    write_tiny_model(folder_ / "a", {.seed = 1});
    write_tiny_model(folder_ / "b", {.n_kv_heads = 2, .seed = 2});
  }
  TemporaryFolder folder_;
};

// 149 predictions at 16: 9 windows and one of 5 tokens; 49 windows at 3 and one of 2, which make 32 blocks.
TEST_F(TextFidelity, AgreesWithAllLogits) {
  const TokenStream stream = random_stream(150);
  for (const at::Device device : devices()) {
    const Decoder a = load_folder(folder_ / "a", at::kFloat, device);
    const Decoder b = load_folder(folder_ / "b", at::kFloat, device);
    for (const int64_t seq_len : {16, 3}) {
      const Distances expected = distances_of(a, b, stream, seq_len);
      const auto scores = score_text({&a, &b}, 0, stream, {.seq_len = seq_len}, false);
      ASSERT_EQ(scores[1].kl_blocks.size(), seq_len == 16 ? 10u : 32u);
      const FidelityCurve curve = fidelity_curve(scores[1]);
      EXPECT_EQ(curve.tokens, 149);
      for (size_t i = 0; i < curve.shares.size(); ++i) {
        const double kl = sorted_quantile(expected.kl, curve.shares[i]);
        const double delta_p = sorted_quantile(expected.delta_p, curve.shares[i]);
        EXPECT_NEAR(curve.kl[i].value, kl, kl * kBin + 1e-6) << curve.shares[i];
        EXPECT_NEAR(curve.delta_p[i].value, delta_p, std::abs(delta_p) * kBin + 1e-6);
      }
      EXPECT_NEAR(curve.kl.back().value, sorted_quantile(expected.kl, 1), 1e-5) << "exact";
      double sum = 0;
      double squares = 0;
      for (const double d : expected.delta_p) sum += d, squares += d * d;
      const Fidelity found = fidelity(scores[1], scores[0]);
      EXPECT_NEAR(found.delta_p.value, sum / 149, 1e-6);
      EXPECT_NEAR(found.rms_delta_p.value, std::sqrt(squares / 149), 1e-6);
      EXPECT_GT(found.rms_delta_p.stderr_, 0);
    }
  }
}

// The token's block is that of its window: tokens of the first four windows of 50 are in the blocks 0, 0, 1 and 1.
TEST_F(TextFidelity, CountsATokenInTheBlockOfItsWindow) {
  const Decoder a = load_folder(folder_ / "a");
  const Decoder b = load_folder(folder_ / "b");
  const TokenStream stream = random_stream(150);
  const Distances expected = distances_of(a, b, stream, 3);
  const auto scores = score_text({&a, &b}, 0, stream, {.seq_len = 3}, false);
  std::vector<size_t> tokens(32);
  for (int64_t w = 0; w < 50; ++w) tokens[static_cast<size_t>(w * 32 / 50)] += w < 49 ? 3 : 2;
  size_t first = 0;
  for (size_t block = 0; block < 32; ++block) {
    ASSERT_EQ(scores[1].kl_blocks[block].count(), static_cast<int64_t>(tokens[block]));
    const auto begin = expected.kl.begin() + static_cast<int64_t>(first);
    const double largest = *std::max_element(begin, begin + static_cast<int64_t>(tokens[block]));
    EXPECT_NEAR(scores[1].kl_blocks[block].quantile(1), largest, 1e-5);
    first += tokens[block];
  }
}

// Batches change the last bits of the logits, and a number may change into the next bin.
TEST_F(TextFidelity, BatchSizeDoesNotMatter) {
  const TokenStream stream = random_stream(150);
  for (const at::Device device : devices()) {
    const Decoder a = load_folder(folder_ / "a", at::kFloat, device);
    const Decoder b = load_folder(folder_ / "b", at::kFloat, device);
    const auto one = score_text({&a, &b}, 0, stream, {.seq_len = 8, .batch_size = 1}, false)[1];
    const FidelityCurve expected = fidelity_curve(one);
    for (const int64_t batch_size : {0, 2, 3, 7, 100}) {
      const auto more =
          score_text({&a, &b}, 0, stream, {.seq_len = 8, .batch_size = batch_size}, false)[1];
      ASSERT_EQ(more.kl_blocks.size(), one.kl_blocks.size());
      for (size_t block = 0; block < one.kl_blocks.size(); ++block) {
        EXPECT_EQ(more.kl_blocks[block].count(), one.kl_blocks[block].count());
        EXPECT_EQ(more.delta_p_blocks[block].count(), one.delta_p_blocks[block].count());
      }
      const FidelityCurve curve = fidelity_curve(more);
      for (size_t i = 0; i < curve.shares.size(); ++i) {
        EXPECT_NEAR(curve.kl[i].value / expected.kl[i].value, 1, kBin);
        EXPECT_NEAR(curve.delta_p[i].value, expected.delta_p[i].value,
                    std::abs(expected.delta_p[i].value) * kBin + 1e-7);
      }
    }
  }
}

TEST_F(TextFidelity, OfTheBaselineItselfIsZero) {
  const Decoder a = load_folder(folder_ / "a");
  const Decoder copy = load_folder(folder_ / "a");
  const auto scores = score_text({&a, &copy}, 0, random_stream(70), {.seq_len = 16}, false);
  for (const TextScore& score : scores) {
    const FidelityCurve curve = fidelity_curve(score);
    for (size_t i = 0; i < curve.shares.size(); ++i) {
      EXPECT_EQ(curve.kl[i].value, 0);
      EXPECT_EQ(curve.delta_p[i].value, 0);
      const bool inside = curve.shares[i] > 0 && curve.shares[i] < 1;
      EXPECT_EQ(curve.kl[i].error == 0, inside);
    }
    EXPECT_EQ(fidelity(score, scores[0]).rms_delta_p.value, 0);
    EXPECT_EQ(fidelity(score, scores[0]).rms_delta_p.stderr_, 0);
  }
}

TEST_F(TextFidelity, OfOneWindowHasNoErrors) {
  const Decoder a = load_folder(folder_ / "a");
  const Decoder b = load_folder(folder_ / "b");
  const auto scores = score_text({&a, &b}, 0, random_stream(12), {.seq_len = 16}, false);
  ASSERT_EQ(scores[1].kl_blocks.size(), 1u);
  const FidelityCurve curve = fidelity_curve(scores[1]);
  EXPECT_GT(curve.at(curve.kl, 0.5).value, 0);
  EXPECT_TRUE(std::isnan(curve.at(curve.kl, 0.5).error));
  EXPECT_TRUE(std::isnan(fidelity(scores[1], scores[0]).delta_p.stderr_));
}

TEST_F(TextFidelity, WithoutABaselineThereIsNone) {
  const Decoder a = load_folder(folder_ / "a");
  const auto scores = score_text({&a}, -1, random_stream(40), {.seq_len = 16}, false);
  EXPECT_TRUE(scores[0].kl_blocks.empty());
  EXPECT_EQ(fidelity_curve(scores[0]).tokens, 0);
}

// Weights that are NaN are refused, by the loss.
TEST_F(TextFidelity, NoNumberIsAnError) {
  const Decoder a = load_folder(folder_ / "a");
  Decoder b = load_folder(folder_ / "b");
  b.layer(0).down[0][0] = NAN;
  expect_error("VAL_NONFINITE", [&] {
    score_text({&a, &b}, 0, random_stream(40), {.seq_len = 16}, false);
  });
}

}  // namespace
}  // namespace regroup::testing
