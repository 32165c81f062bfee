// Devices that share a model, and which groups engines are made for, by hand.
#include "regroup/serving/capacity.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"
#include "support/tiny_model.h"

namespace regroup::testing {
namespace {

CacheLayout llama2_13b() {
  return parse_cache_layout(tiny_config({.n_layers = 40,
                                         .n_heads = 40,
                                         .n_kv_heads = 40,
                                         .head_dim = 128,
                                         .hidden_size = 5120,
                                         .intermediate_size = 13824,
                                         .vocab_size = 32000,
                                         .max_positions = 4096}),
                            "config.json");
}

CapacityRequest request(std::vector<int64_t> kv_heads, int64_t devices) {
  return {.kv_heads = std::move(kv_heads), .context = 4096, .batch = 2, .devices = devices};
}

TEST(Capacity, OneDeviceHoldsAllOfIt) {
  for (const CapacityOption& option : plan_capacity(llama2_13b(), request({40, 8}, 1)).options) {
    EXPECT_EQ(option.device.n_kv_heads, option.n_kv_heads);
    EXPECT_EQ(option.device.weight_bytes, option.weight_bytes);
    EXPECT_EQ(option.device.total_bytes, option.total_bytes);
    EXPECT_TRUE(option.device.divides);
  }
}

TEST(Capacity, DevicesShareHeadsMlpAndVocabulary) {
  const CapacityPlan plan = plan_capacity(llama2_13b(), request({40, 20, 8, 5, 4}, 8));
  // 5 query heads, 13,824 / 8 = 1,728 and 32,000 / 8 = 4,000 rows a device; norms are whole.
  const auto weights = [](int64_t kv) {
    const int64_t layer = 5120 * (2 * 640 + 2 * kv * 128 + 3 * 1728) + 2 * 5120;
    return 2 * (40 * layer + 2 * 4000 * 5120 + 5120);
  };
  struct Case {
    int64_t n_kv_heads;
    int64_t on_device;
    bool divides;
  };
  // 40 = 8 x 5; 20 is neither a multiple nor a divisor of 8; 8: one each; 5 neither; 4: each head on two devices.
  const Case cases[] = {{40, 5, true}, {20, 3, false}, {8, 1, true}, {5, 1, false}, {4, 1, true}};
  ASSERT_EQ(plan.options.size(), std::size(cases));
  for (size_t i = 0; i < std::size(cases); ++i) {
    SCOPED_TRACE(cases[i].n_kv_heads);
    const DeviceShare& share = plan.options[i].device;
    EXPECT_EQ(plan.options[i].n_kv_heads, cases[i].n_kv_heads);
    EXPECT_EQ(share.n_kv_heads, cases[i].on_device);
    EXPECT_EQ(share.divides, cases[i].divides);
    EXPECT_EQ(share.kv_bytes_per_token, 2 * 40 * cases[i].on_device * 128 * 2);
    EXPECT_EQ(share.kv_bytes, 2 * 4096 * share.kv_bytes_per_token);
    EXPECT_EQ(share.weight_bytes, weights(cases[i].on_device));
    EXPECT_EQ(share.total_bytes, *share.weight_bytes + share.kv_bytes);
  }
}

TEST(Capacity, WhatDoesNotDivideIsNotRecommended) {
  CapacityRequest limited = request({20, 8}, 8);
  limited.gpu_memory_bytes = int64_t{80} << 30;
  const CapacityPlan plan = plan_capacity(llama2_13b(), limited);
  EXPECT_FALSE(plan.options[0].fits);
  EXPECT_EQ(plan.recommended, 8);
  EXPECT_NE(plan.why.find("on each device"), std::string::npos) << plan.why;
  const ErrorInfo error =
      expect_error<ConfigError>("FLAG_VALUE", [] { plan_capacity(llama2_13b(), request({8}, 6)); });
  EXPECT_EQ(error.message, "`tp` must divide the model's 40 query heads, found 6");
}

// Llama-2-13B has 40 query heads: 8 KV heads make groups of 5.
TEST(Capacity, SaysWhereAGroupHasNoKernels) {
  CapacityRequest limited = request({8, 5}, 1);
  limited.gpu_memory_bytes = int64_t{80} << 30;
  const std::string why = plan_capacity(llama2_13b(), limited).why;
  EXPECT_NE(why.find("its groups of 5 query heads are none of 1, 2, 4 and 8, which engines have "
                     "decode kernels for: 5 KV heads (groups of 8) fit too"),
            std::string::npos)
      << why;
  limited.kv_heads = {10};
  EXPECT_EQ(plan_capacity(llama2_13b(), limited).why.find("groups"), std::string::npos);
}

TEST(Capacity, LayersWithFewHeadsKeepThemOnEveryDevice) {
  CacheLayout layout = llama2_13b();
  layout.config.reset();
  layout.n_heads = layout.n_kv_heads = 8;
  layout.layers.resize(4);
  const int64_t heads[] = {8, 4, 4, 1};
  for (size_t i = 0; i < 4; ++i) layout.layers[i].n_kv_heads = heads[i];
  const auto on = [&](int64_t devices) {
    return plan_capacity(layout, {.kv_heads = {8}, .context = 1, .devices = devices})
        .options[0]
        .device;
  };
  EXPECT_EQ(on(1).kv_bytes, 17 * 2 * 128 * 2);
  EXPECT_EQ(on(4).kv_bytes, (2 + 1 + 1 + 1) * 2 * 128 * 2);
  EXPECT_EQ(on(8).kv_bytes, 4 * 2 * 128 * 2);
  EXPECT_TRUE(on(8).divides);
  layout.layers[3].n_kv_heads = 3;
  EXPECT_FALSE(on(8).divides);
}

TEST(Capacity, WhatDoesNotFitInNumbersDoesNotFit) {
  CapacityRequest huge = request({40, 8}, 1);
  huge.context = int64_t{1} << 40;
  huge.batch = int64_t{1} << 24;
  huge.gpu_memory_bytes = int64_t{80} << 30;
  const CapacityPlan plan = plan_capacity(llama2_13b(), huge);
  EXPECT_EQ(plan.options[0].total_bytes, INT64_MAX);
  EXPECT_FALSE(plan.options[0].fits);
  EXPECT_FALSE(plan.recommended);
}

TEST(FindGpu, KnowsNamesAsPeopleWriteThem) {
  EXPECT_EQ(find_gpu("h100").product, "NVIDIA H100 SXM");
  EXPECT_EQ(find_gpu("NVIDIA A100 SXM 80GB").name, "a100-80gb");
  EXPECT_EQ(find_gpu("GeForce RTX 4090").name, "rtx4090");
  const ErrorInfo error = expect_error<ConfigError>("GPU_UNKNOWN", [] { find_gpu("h1000"); });
  EXPECT_EQ(error.hint.substr(0, 19), "did you mean h100? ");
}

TEST(Capacity, MoreHeadsThanTheModelsAreRepeated) {
  const CacheLayout config = with_kv_heads(llama2_13b(), 8);
  const CapacityPlan plan = plan_capacity(config, request({40, 8}, 1));
  EXPECT_EQ(plan.options[0].kv_bytes, 5 * plan.options[1].kv_bytes);
  expect_error<ConfigError>("KV_HEADS", [&] { plan_capacity(config, request({16}, 1)); });
}

}  // namespace
}  // namespace regroup::testing
