// The memory of the KV cache, by hand.
#include "regroup/serving/cache_layout.h"

#include <gtest/gtest.h>

#include "regroup/checkpoint/kv_cache.h"
#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

ModelConfig llama2_7b() {
  return parse_model_config(
      tiny_config(
          {.n_layers = 32, .n_heads = 32, .n_kv_heads = 32, .head_dim = 128, .hidden_size = 4096}),
      "config.json");
}

/// Mistral-7B's first version: 32 layers, 8 KV heads of 128, a window of 4,096 in every layer.
ModelConfig mistral_7b() {
  return parse_model_config(tiny_config({.model_type = "mistral",
                                         .n_layers = 32,
                                         .n_heads = 32,
                                         .n_kv_heads = 8,
                                         .head_dim = 128,
                                         .hidden_size = 4096,
                                         .sliding_window = 4096}),
                            "config.json");
}

/// Two full layers and one of window 100; one KV head of 8.
ModelConfig mixed() {
  ModelConfig config = parse_model_config(tiny_config({.model_type = "mistral",
                                                       .n_layers = 3,
                                                       .n_heads = 1,
                                                       .n_kv_heads = 1,
                                                       .sliding_window = 100}),
                                          "config.json");
  config.sliding_layers = {false, true, false};
  return config;
}

int64_t kv_bytes(const ModelConfig& config, int64_t n_kv_heads, int64_t tokens, int64_t bits) {
  return cache_bytes(with_kv_heads(cache_layout_of(config), n_kv_heads), tokens, bits);
}

int64_t max_context(const ModelConfig& config, int64_t n_kv_heads, int64_t batch, int64_t bits,
                    int64_t budget) {
  return longest_cached_context(with_kv_heads(cache_layout_of(config), n_kv_heads), batch, bits,
                                budget);
}

TEST(KvBytes, OfLlama2) {
  const ModelConfig config = llama2_7b();
  // 2 (K and V) * 32 layers * 32 heads * 128 * 2 bytes = 524288.
  EXPECT_EQ(kv_bytes_per_token(config, 32, 16), 524'288);
  EXPECT_EQ(kv_bytes_per_token(config, 8, 16), 131'072);
  EXPECT_EQ(kv_bytes_per_token(config, 1, 16), 16'384);
  EXPECT_EQ(kv_bytes_per_token(config, 32, 8), 262'144);
  EXPECT_EQ(kv_bytes_per_token(config, 32, 4), 131'072);
  EXPECT_EQ(kv_bytes_per_token(config, 32, 32), 1'048'576);
  EXPECT_EQ(kv_bytes(config, 32, 4096, 16), int64_t{2} << 30);  // 4096 * 512 KiB = 2 GiB
  EXPECT_EQ(kv_bytes(config, 32, 0, 16), 0);
}

TEST(KvBytes, AWindowCapsWhatALayerKeeps) {
  // 131072 a token: 4,096 of them are 512 MiB, however long the context.
  const ModelConfig config = mistral_7b();
  EXPECT_EQ(kv_bytes_per_token(config, 8, 16), 131'072);
  EXPECT_EQ(kv_bytes(config, 8, 4095, 16), 4095 * 131'072LL);
  EXPECT_EQ(kv_bytes(config, 8, 4096, 16), int64_t{512} << 20);
  EXPECT_EQ(kv_bytes(config, 8, 1'000'000, 16), int64_t{512} << 20);
  // Two layers keep 150 tokens, one keeps 100: 400 * 2 * 1 * 8 * 2 bytes = 12800.
  EXPECT_EQ(kv_bytes(mixed(), 1, 150, 16), 12'800);
}

TEST(KvBytes, SaturatesInsteadOfWrapping) {
  const ModelConfig config = llama2_7b();
  // 2^40 tokens * 32 layers * 131072 bits = 2^62 bits still fit; eight times that do not.
  EXPECT_EQ(kv_bytes(config, 32, int64_t{1} << 40, 16), int64_t{1} << 59);
  EXPECT_EQ(kv_bytes(config, 32, int64_t{1} << 43, 16), INT64_MAX);
  EXPECT_EQ(kv_bytes(config, 32, INT64_MAX, 16), INT64_MAX);
}

TEST(MaxContext, OfLlama2On80GiB) {
  // Weights of 6738415616 * 2 bytes leave 85899345920 - 13476831232 = 72422514688 bytes, / 524288 =
  // 138134.98; a quarter of the heads gives four times as many, 552539.94.
  const int64_t budget = (int64_t{80} << 30) - 13'476'831'232;
  EXPECT_EQ(max_context(llama2_7b(), 32, 1, 16, budget), 138'134);
  EXPECT_EQ(max_context(llama2_7b(), 8, 1, 16, budget), 552'539);
  EXPECT_EQ(max_context(llama2_7b(), 32, 8, 16, budget), budget / 8 / 524'288);
}

TEST(MaxContext, Ends) {
  EXPECT_EQ(max_context(llama2_7b(), 32, 1, 16, 0), 0);
  EXPECT_EQ(max_context(llama2_7b(), 32, 1, 16, -5), 0);
  EXPECT_EQ(max_context(llama2_7b(), 32, 1, 16, 524'287), 0);
  EXPECT_EQ(max_context(llama2_7b(), 32, 1, 16, 524'288), 1);
  EXPECT_EQ(max_context(mistral_7b(), 8, 1, 16, int64_t{512} << 20), INT64_MAX);
  EXPECT_EQ(max_context(mistral_7b(), 8, 1, 16, (int64_t{512} << 20) - 1), 4095);
}

// The longest context is the one that fits while one more token does not.
TEST(MaxContext, InvertsKvBytes) {
  Random random(3);
  const std::vector<ModelConfig> configs = {llama2_7b(), mistral_7b(), mixed()};
  const std::vector<int64_t> widths = {4, 8, 16, 32};
  for (int i = 0; i < 5'000; ++i) {
    const ModelConfig& config = random.pick(configs);
    const int64_t bits = random.pick(widths);
    const auto batch = static_cast<int64_t>(1 + random.below(64));
    const auto budget = static_cast<int64_t>(random.next() >> (2 + random.below(50)));
    const int64_t context = max_context(config, config.n_kv_heads, batch, bits, budget);
    SCOPED_TRACE(::testing::Message()
                 << "batch " << batch << " budget " << budget << " bits " << bits);
    if (context == INT64_MAX) {
      EXPECT_LE(kv_bytes(config, config.n_kv_heads, INT64_MAX, bits), budget / batch);
      continue;
    }
    EXPECT_LE(kv_bytes(config, config.n_kv_heads, context, bits), budget / batch);
    if (context + 1 < int64_t{1} << 40) {  // the longest that is ever reported
      EXPECT_GT(kv_bytes(config, config.n_kv_heads, context + 1, bits), budget / batch);
    }
  }
}

// A model of 80 layers and 64 heads needs 2.6 MB a token; 2^40 tokens of it do not fit 63 bits.
TEST(MaxContext, OfALargeModelDoesNotOverflow) {
  const ModelConfig config = parse_model_config(
      tiny_config(
          {.n_layers = 80, .n_heads = 64, .n_kv_heads = 64, .head_dim = 128, .hidden_size = 8192}),
      "config.json");
  EXPECT_EQ(kv_bytes_per_token(config, 64, 16), 2'621'440);
  EXPECT_EQ(max_context(config, 64, 1, 16, int64_t{80} << 30), (int64_t{80} << 30) / 2'621'440);
}

TEST(StorageBits, KnowsTheNames) {
  EXPECT_EQ(storage_bits("bf16", "--kv-dtype"), 16);
  EXPECT_EQ(storage_bits("f16", "--kv-dtype"), 16);
  EXPECT_EQ(storage_bits("f32", "--kv-dtype"), 32);
  EXPECT_EQ(storage_bits("fp8", "--kv-dtype"), 8);
  EXPECT_EQ(storage_bits("int8", "--kv-dtype"), 8);
  EXPECT_EQ(storage_bits("int4", "--kv-dtype"), 4);
  EXPECT_EQ(
      expect_error<ConfigError>("FLAG_VALUE", [] { storage_bits("int3", "--kv-dtype"); }).message,
      "--kv-dtype must be one of bf16, f16, f32, fp8, int8, int4, found int3");
}

}  // namespace
}  // namespace regroup::testing
