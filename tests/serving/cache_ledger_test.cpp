// Blocks of growing sequences against a list of them, one by one; steps in closed form against their sum.
#include "cache_ledger.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "prefix_cache.h"
#include "regroup/base/uniform_stream.h"
#include "step_time.h"

namespace regroup::testing {
namespace {

constexpr int64_t kBlock = 16;

/// Two layers that see all, one with a window of 40, one of 100 and a state; one KV head of 3 + 1 elements: 8 bytes a token.
CacheLayout layout() {
  CacheLayout layout{.n_heads = 4, .n_kv_heads = 1, .head_dim = 3};
  layout.layers = {{.n_kv_heads = 1, .head_elements = 4},
                   {.kind = CacheKind::kSliding, .n_kv_heads = 1, .head_elements = 4, .window = 40},
                   {.n_kv_heads = 1, .head_elements = 4},
                   {.kind = CacheKind::kSliding,
                    .n_kv_heads = 1,
                    .head_elements = 4,
                    .window = 100,
                    .state_elements = 5}};
  return layout;
}

int64_t ceil_blocks(int64_t tokens) { return (tokens + kBlock - 1) / kBlock; }

int64_t window_blocks(int64_t tokens, int64_t window) {
  // A full window of 40 may begin within a block: ceil(39 / 16) + 1 = 4 blocks.
  return tokens >= window ? ceil_blocks(window - 1) + 1 : ceil_blocks(tokens);
}

int64_t naive_bytes(const std::vector<int64_t>& sequences) {
  int64_t bytes = 0;
  for (const int64_t tokens : sequences) {
    const int64_t blocks =
        2 * ceil_blocks(tokens) + window_blocks(tokens, 40) + window_blocks(tokens, 100);
    bytes += blocks * kBlock * 8 + 10;  // a state of 5 elements
  }
  return bytes;
}

/// Tokens that the next step reads in all layers, its own among them.
double naive_reads(const std::vector<int64_t>& sequences) {
  double tokens = 0;
  for (const int64_t n : sequences) {
    tokens += static_cast<double>(2 * (n + 1) + std::min<int64_t>(n + 1, 40) +
                                  std::min<int64_t>(n + 1, 100));
  }
  return tokens;
}

TEST(CacheLedger, OneSequenceByHand) {
  CacheLedger ledger(layout(), 16, kBlock);
  // 17 tokens: two blocks in each of four layers, 128 bytes a block, and ten bytes of state.
  EXPECT_EQ(ledger.bytes_of(17), 2 * 4 * 128 + 10);
  EXPECT_EQ(ledger.block_bytes(), 4 * 128);
  ledger.join(17, 0);
  EXPECT_EQ(ledger.bytes(), 2 * 4 * 128 + 10);
  // The next three steps hold 18, 19 and 20 tokens in two blocks, those after the 15th in three.
  EXPECT_EQ(ledger.mean_used_bytes(3), 19 * 4 * 8 + 10);
  EXPECT_EQ(ledger.mean_bytes(3), 2 * 4 * 128 + 10);
  EXPECT_DOUBLE_EQ(ledger.mean_bytes(20), 2 * 4 * 128 + 10 + 4 * 128 * 5 / 20.0);
  EXPECT_EQ(ledger.bytes_after(15), ledger.bytes());            // up to 32 tokens
  EXPECT_EQ(ledger.bytes_after(16), ledger.bytes() + 4 * 128);  // the 33rd
  EXPECT_EQ(ledger.steps_to_full_window(), 23);
  // One query of four heads over 18 tokens in each of four layers: 2 * 4 * (3 + 1) FLOPs a token.
  EXPECT_EQ(ledger.work().flops, 18 * 4 * 32.0);
  EXPECT_EQ(ledger.work().bytes, 18 * 4 * 8.0);
}

TEST(CacheLedger, EqualsAListOfSequences) {
  UniformStream random(7, "sequences");
  const auto below = [&](int64_t n) {
    return static_cast<int64_t>(random.next_bits() % static_cast<uint64_t>(n));
  };
  CacheLedger ledger(layout(), 16, kBlock);
  std::vector<int64_t> sequences;
  for (int i = 0; i < 20'000; ++i) {
    const int64_t what = below(3);
    if (what == 0 && sequences.size() < 30) {
      sequences.push_back(1 + below(150));
      ledger.join(sequences.back(), 0);
    } else if (what == 1 && !sequences.empty()) {
      const auto at = sequences.begin() + below(static_cast<int64_t>(sequences.size()));
      ledger.leave(*at, 0);
      sequences.erase(at);
    } else {
      const int64_t steps = std::min(1 + below(40), ledger.steps_to_full_window());
      std::vector<int64_t> later = sequences;
      for (int64_t& tokens : later) tokens += steps;
      ASSERT_EQ(ledger.bytes_after(steps), naive_bytes(later)) << i;
      ledger.advance(steps);
      sequences = later;
    }
    ASSERT_EQ(ledger.bytes(), naive_bytes(sequences)) << i;
    const CacheWork work = ledger.work();
    // Sequences whose window fills with the next token read one token more than is kept.
    ASSERT_NEAR(work.bytes, 8 * naive_reads(sequences), 1e-6 * (1 + work.bytes)) << i;
  }
}

TEST(CacheLedger, SharedBlocksAreAnothers) {
  CacheLayout full = layout();
  full.layers = {full.layers[0]};
  CacheLedger ledger(full, 16, kBlock);
  EXPECT_EQ(ledger.bytes_of(100, 4), (7 - 4) * 128);
  ledger.hold(100, 4);
  EXPECT_EQ(ledger.bytes(), 3 * 128);
  ledger.release(100, 4);
  ledger.join(100, 4);
  EXPECT_EQ(ledger.bytes(), 3 * 128);
  EXPECT_EQ(ledger.work().bytes, 101 * 8);  // shared or not, they are read
  ledger.advance(20);
  EXPECT_EQ(ledger.bytes(), 4 * 128);
  ledger.leave(120, 4);
  EXPECT_EQ(ledger.bytes(), 0);
}

TEST(CacheLedger, PromptsAreReadInParts) {
  const CacheLedger ledger(layout(), 16, kBlock);
  // Three queries behind ten tokens see 11, 12 and 13: 36 in all, in each of four layers.
  EXPECT_DOUBLE_EQ(ledger.prefill_flops(10, 3), 36 * 4 * 32.0);
  // 30 behind 20: the layer with a window of 40 shows 21 to 40 of them, and ten times 40.
  const double full = 30 * 20 + 30 * 31 / 2.0;
  EXPECT_DOUBLE_EQ(ledger.prefill_flops(20, 30), (3 * full + 20 * 20 + 210 + 10 * 40) * 32);
  EXPECT_DOUBLE_EQ(ledger.read_bytes(50), (50 + 40 + 50 + 50) * 8.0);
}

TEST(StepTime, IsTheSumOfItsSteps) {
  UniformStream random(3, "times");
  for (int i = 0; i < 2'000; ++i) {
    const StepTime time{.read = random.next(),
                        .read_growth = i % 3 == 0 ? 0 : 0.05 * random.next(),
                        .compute = random.next(),
                        .compute_growth = i % 2 == 0 ? 0 : 0.05 * random.next(),
                        .overhead = 0.01};
    double sum = 0;
    for (int64_t steps = 0; steps < 60; ++steps) {
      ASSERT_NEAR(time.of(steps), sum, 1e-9 * (1 + sum)) << i << " " << steps;
      const auto j = static_cast<double>(steps);
      sum += std::max(time.read + j * time.read_growth, time.compute + j * time.compute_growth) +
             time.overhead;
    }
    const int64_t steps = time.steps_to(5, 1'000);
    EXPECT_GE(time.of(steps), steps < 1'000 ? 5 : 0);
    EXPECT_LT(time.of(steps - 1), 5);
  }
}

TEST(PrefixCache, KeepsWhatIsUsedAndDropsTheOldest) {
  PrefixCache cache;
  const std::vector<uint64_t> a = {1, 2, 3};
  const std::vector<uint64_t> b = {1, 2, 4};
  cache.use(a);
  EXPECT_EQ(cache.find(b), 2);
  EXPECT_EQ(cache.used_among(b), 2);
  cache.use(b);
  EXPECT_EQ(cache.used(), 4);
  cache.release(a);  // 3 alone is free
  EXPECT_EQ(cache.used(), 3);
  EXPECT_EQ(cache.unused(), 1);
  EXPECT_EQ(cache.find(a), 3);
  cache.release(b);  // the chain's end goes first
  EXPECT_EQ(cache.drop(2), 2);
  EXPECT_EQ(cache.find(a), 2);
  EXPECT_EQ(cache.find(b), 2);
  EXPECT_EQ(cache.drop(5), 2);
  EXPECT_EQ(cache.find(a), 0);
}

}  // namespace
}  // namespace regroup::testing
