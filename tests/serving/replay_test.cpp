// Traces that can be followed by hand, and what holds for every trace.
#include "regroup/serving/replay.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace regroup::testing {
namespace {

/// One layer, two KV heads of one key and one value channel: 8 bytes a token in 16 bits.
ServedModel model(int64_t n_kv_heads = 2) {
  CacheLayout layout{.n_heads = 2, .n_kv_heads = n_kv_heads, .head_dim = 1};
  layout.layers = {{.n_kv_heads = n_kv_heads, .head_elements = 2}};
  return {.layout = layout, .device_weight_bytes = 1'000};
}

/// A second for each 1,000 bytes; computing costs nothing. Room for `tokens` tokens of two heads.
ReplaySettings server(int64_t tokens) {
  return {.memory_bytes = 1'000 + 8 * tokens,
          .bandwidth_bytes_per_s = 1'000,
          .flops_per_s = 1e30,
          .block_tokens = 16};
}

Trace trace(std::vector<TraceRequest> requests) { return {.requests = std::move(requests)}; }

TraceRequest request(double arrival_s, int32_t prompt, int32_t output) {
  return {.arrival_s = arrival_s, .prompt_tokens = prompt, .output_tokens = output};
}

TEST(Replay, OneRequestByHand) {
  const ReplayResult r = replay(trace({request(0, 100, 3)}), model(), server(1'000));
  // The prompt: 1,000 bytes of weights and 100 tokens of 8; then steps that read 101 and 102 tokens.
  EXPECT_NEAR(r.ttft_s.p50, 1.8, 1e-6);
  EXPECT_NEAR(r.latency_s.p50, 1.8 + 1.808 + 1.816, 1e-6);
  EXPECT_NEAR(r.tpot_s.p50, 1.812, 1e-6);
  EXPECT_NEAR(r.duration_s, 5.424, 1e-9);
  EXPECT_NEAR(r.tokens_per_s, 3 / 5.424, 1e-9);
  EXPECT_EQ(r.completed, 1);
  EXPECT_EQ(r.queue_s.max, 0);
  EXPECT_EQ(r.request_kv_bytes.mean, 7 * 16 * 8);  // 102 tokens take seven blocks
  EXPECT_EQ(r.kv_bytes.max, 7 * 16 * 8);
  EXPECT_NEAR(r.concurrency.mean, 1, 1e-12);
  EXPECT_EQ(r.concurrency.p99, 1);
  // 100, 101 and 102 tokens in blocks for 112.
  const double used = 1.8 * 100 + 1.808 * 101 + 1.816 * 102;
  // The last two are summed together, as if they took equally long.
  EXPECT_NEAR(r.fragmentation, 1 - used / (5.424 * 112), 1e-5);
}

TEST(Replay, TimesAreExactLongAfterTheStart) {
  // 0.15 of a second between tokens would be lost in floats of a week.
  ServedModel small = model();
  small.device_weight_bytes = 10;
  ReplaySettings settings = server(10'000);
  settings.tpot_limit_s = 0.5;
  const ReplayResult r =
      replay(trace({request(0, 1, 1), request(700'000, 10, 3)}), small, settings);
  EXPECT_NEAR(r.tpot_s.p50, (0.098 + 0.106) / 2, 1e-6);
  EXPECT_EQ(r.good, 2);
}

TEST(Replay, AWindowStopsTheGrowthOfTheCache) {
  ServedModel sliding = model();
  sliding.layout.layers[0].kind = CacheKind::kSliding;
  sliding.layout.layers[0].window = 40;
  // ceil(39 / 16) + 1 = 4 blocks are the most of a sequence: two of them fit.
  const ReplayResult r =
      replay(trace({request(0, 10, 500), request(0, 10, 500)}), sliding, server(8 * 16));
  EXPECT_EQ(r.completed, 2);
  EXPECT_EQ(r.preemptions, 0);
  EXPECT_EQ(r.concurrency.max, 2);
  EXPECT_EQ(r.kv_bytes.max, 8 * 16 * 8);
  EXPECT_EQ(r.request_kv_bytes.max, 4 * 16 * 8);
  // With one block less the younger gives way when windows fill, never later.
  const ReplayResult less =
      replay(trace({request(0, 10, 500), request(0, 10, 500)}), sliding, server(7 * 16));
  EXPECT_EQ(less.preemptions, 1);
  EXPECT_LE(less.kv_bytes.max, 7 * 16 * 8);
}

TEST(Replay, ComputingBoundsLongPrompts) {
  ServedModel compute = model();
  compute.flops_per_token = 10;
  ReplaySettings settings = server(1'000);
  settings.flops_per_s = 100;
  const ReplayResult r = replay(trace({request(0, 100, 1)}), compute, settings);
  // 100 tokens * 10 FLOPs, and attention: 5,050 pairs of a query and a token, 2 heads * 2 channels * 2 FLOPs.
  EXPECT_NEAR(r.latency_s.p50, (1'000 + 5'050 * 8) / 100.0, 1e-4);
}

TEST(Replay, PromptsAreReadInPartsOfAStep) {
  ReplaySettings settings = server(1'000);
  settings.max_step_tokens = 40;
  const ReplayResult r = replay(trace({request(0, 100, 1)}), model(), settings);
  // Steps of 40, 40 and 20 tokens read what is there: 40, 80 and 100 tokens.
  EXPECT_NEAR(r.latency_s.p50, 3 + 220 * 0.008, 1e-5);
}

TEST(Replay, WhoDoesNotFitWaits) {
  // 64 tokens are four blocks: one request of 40 tokens and its three of output at a time.
  const ReplayResult r =
      replay(trace({request(0, 40, 3), request(0.5, 40, 3)}), model(), server(64));
  const double alone = 1.32 + 1.328 + 1.336;
  EXPECT_EQ(r.completed, 2);
  EXPECT_EQ(r.concurrency.max, 1);
  EXPECT_NEAR(r.queue_s.max, alone - 0.5, 1e-5);
  EXPECT_NEAR(r.duration_s, 2 * alone, 1e-9);
  EXPECT_EQ(r.preemptions, 0);
  // With one KV head instead of two both fit.
  const ReplayResult half =
      replay(trace({request(0, 40, 3), request(0.5, 40, 3)}), model(1), server(64));
  EXPECT_EQ(half.concurrency.max, 2);
  EXPECT_LT(half.duration_s, r.duration_s);
  EXPECT_EQ(half.n_kv_heads, 1);
}

TEST(Replay, TheYoungestGivesUpItsCache) {
  // Two prompts of one block each grow to three blocks; there is room for five.
  const ReplayResult r =
      replay(trace({request(0, 10, 30), request(0, 10, 30)}), model(), server(5 * 16));
  EXPECT_EQ(r.completed, 2);
  EXPECT_EQ(r.preemptions, 1);
  // Both had 32 tokens when the third block of each was asked for: 10 and 22 of output.
  EXPECT_EQ(r.recomputed_tokens, 32);
  EXPECT_EQ(r.output_tokens, 60);
  EXPECT_LE(r.kv_bytes.max, 5 * 16 * 8);
}

TEST(Replay, WhatCanNeverRunIsRejected) {
  ReplaySettings settings = server(160);
  settings.max_context = 120;
  const ReplayResult r = replay(
      trace({request(0, 1'000, 1), request(0, 100, 30), request(0, 100, 20)}), model(), settings);
  EXPECT_EQ(r.rejected, 2);
  EXPECT_EQ(r.completed, 1);
  const ErrorInfo error = expect_error<ConfigError>(
      "REPLAY_MEMORY", [&] { replay(trace({request(0, 1, 1)}), model(), server(3)); });
  EXPECT_NE(error.message.find("weights take 1000 B"), std::string::npos) << error.message;
}

TEST(Replay, AnIdleServerCostsTime) {
  const ReplayResult r =
      replay(trace({request(0, 100, 1), request(100, 100, 1)}), model(), server(1'000));
  EXPECT_NEAR(r.duration_s, 101.8, 1e-9);
  EXPECT_NEAR(r.busy_s, 3.6, 1e-9);
  EXPECT_NEAR(r.concurrency.mean, 3.6 / 101.8, 1e-9);
  EXPECT_EQ(r.kv_bytes.p50, 0);
}

TEST(Replay, SharedPrefixesAreReadOnce) {
  Trace shared = trace({request(0, 1'100, 1), request(50, 1'100, 1)});
  shared.blocks = {1, 2, 3, 1, 2, 4};
  shared.requests[0].n_blocks = 3;
  shared.requests[1].first_block = 3;
  shared.requests[1].n_blocks = 3;
  ReplaySettings settings = server(4'000);
  settings.max_step_tokens = 100;
  settings.prefix_caching = true;
  const ReplayResult r = replay(shared, model(), settings);
  EXPECT_EQ(r.prefix_hit_tokens, 1'024);  // two whole blocks
  settings.prefix_caching = false;
  const ReplayResult without = replay(shared, model(), settings);
  EXPECT_EQ(without.prefix_hit_tokens, 0);
  EXPECT_LT(r.busy_s, without.busy_s);
  EXPECT_LT(r.latency_s.p50, without.latency_s.p50);
}

TEST(Replay, APreemptedPromptIsReadAgainWithPrefixCachingToo) {
  // Nothing is shared: the cache of prefixes must change nothing.
  Trace apart = trace({request(0, 2'000, 900), request(0, 4'000, 10)});
  apart.blocks = {1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 17, 18};
  apart.requests[0].n_blocks = 4;
  apart.requests[1].first_block = 4;
  apart.requests[1].n_blocks = 8;
  ReplaySettings settings = server(6'208);
  settings.max_step_tokens = 17;
  const ReplayResult without = replay(apart, model(), settings);
  settings.prefix_caching = true;
  const ReplayResult with = replay(apart, model(), settings);
  EXPECT_EQ(without.preemptions, 1);
  EXPECT_EQ(with.preemptions, 1);
  EXPECT_EQ(with.prefix_hit_tokens, 0);
  EXPECT_NEAR(with.ttft_s.max, without.ttft_s.max, 1e-3);
  EXPECT_EQ(with.recomputed_tokens, without.recomputed_tokens);
}

TEST(Replay, SeveralDevicesShareTheModel) {
  ReplaySettings two = server(1'000);
  two.devices = 2;
  const auto half = [](int64_t n_kv_heads) {
    ServedModel shared = model(n_kv_heads);
    shared.device_weight_bytes = 500;
    return shared;
  };
  const ReplayResult r = replay(trace({request(0, 100, 1)}), half(2), two);
  EXPECT_NEAR(r.latency_s.p50, 0.5 + 0.4, 1e-6);  // half of the weights, one of two heads
  EXPECT_EQ(r.weight_bytes, 500);
  // With one head both devices hold it.
  EXPECT_NEAR(replay(trace({request(0, 100, 1)}), half(1), two).latency_s.p50, 0.5 + 0.4, 1e-6);
}

TEST(Replay, EveryRequestEndsAndNoBlockIsGivenTwice) {
  for (const double rate : {0.05, 1.0, 50.0}) {
    const Trace made = make_trace({.requests = 2'000,
                                   .rate = rate,
                                   .burstiness = 0.5,
                                   .prompt_mean = 60,
                                   .output_mean = 40,
                                   .max_tokens = 600,
                                   .seed = 3});
    int64_t outputs = 0;
    for (const TraceRequest& one : made.requests) outputs += one.output_tokens;
    for (const int64_t room : {700, 3'000, 100'000}) {
      const ReplayResult r = replay(made, model(), server(room));
      SCOPED_TRACE(::testing::Message() << rate << " " << room);
      EXPECT_EQ(r.completed, 2'000);
      EXPECT_EQ(r.output_tokens, outputs);
      EXPECT_LE(r.kv_bytes.max, static_cast<double>(room * 8));
      EXPECT_LE(r.concurrency.max, 256);
      EXPECT_LE(r.busy_s, r.duration_s * (1 + 1e-9));
      EXPECT_GE(r.fragmentation, 0);
      EXPECT_LT(r.fragmentation, 0.5);
    }
  }
}

}  // namespace
}  // namespace regroup::testing
