// Token by token far beyond the first table of angles and the first room of the cache: as transformers, whose
// dynamic scaling turns every new key by the length so far.
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "model/decoder_tools.h"
#include "oracles/oracle.h"
#include "regroup/model/generate.h"

namespace regroup::testing {
namespace {

using Ids = std::vector<int32_t>;
using Json = nlohmann::ordered_json;

Json endless(Json extra = Json::object()) {
  extra["eos_token_id"] = nullptr;
  return extra;
}

Json scaled(Json scaling) { return endless({{"rope_scaling", std::move(scaling)}}); }

struct Case {
  const char* why;
  TinyModelSpec spec;
};

std::vector<Case> cases() {
  return {
      {"MHA", {.max_positions = 2048, .extra_config = endless()}},
      {"one KV head, odd head size",
       {.n_kv_heads = 1, .head_dim = 20, .max_positions = 2048, .extra_config = endless()}},
      {"window",
       {.model_type = "mistral",
        .n_kv_heads = 2,
        .head_dim = 16,
        .max_positions = 2048,
        .sliding_window = 150,
        .extra_config = endless()}},
      {"window in later layers",
       {.model_type = "qwen2",
        .n_layers = 3,
        .n_kv_heads = 2,
        .max_positions = 2048,
        .sliding_window = 40,
        .extra_config = endless()}},
      {"a part turned",
       {.model_type = "stablelm",
        .n_kv_heads = 2,
        .max_positions = 2048,
        .extra_config = endless()}},
      {"dynamic",
       {.n_kv_heads = 2,
        .max_positions = 64,
        .extra_config = scaled({{"rope_type", "dynamic"}, {"factor", 2.0}})}},
      {"linear",
       {.n_kv_heads = 2,
        .max_positions = 256,
        .extra_config = scaled({{"rope_type", "linear"}, {"factor", 4.0}})}},
      {"llama3",
       {.n_kv_heads = 2,
        .max_positions = 2048,
        .extra_config = scaled({{"rope_type", "llama3"},
                                {"factor", 8.0},
                                {"low_freq_factor", 1.0},
                                {"high_freq_factor", 4.0},
                                {"original_max_position_embeddings", 64}})}},
      {"yarn",
       {.n_kv_heads = 2,
        .max_positions = 512,
        .extra_config = scaled(
            {{"rope_type", "yarn"}, {"factor", 8.0}, {"original_max_position_embeddings", 64}})}},
  };
}

TEST(LongGeneration, TransformersGivesTheSameTokens) {
  REGROUP_REQUIRE_ORACLE();
  const TemporaryFolder temporary;
  const Ids prompt = {1, 40, 7, 26, 37};
  const int64_t n = 700;
  Json folders = Json::array();
  for (const Case& c : cases()) {
    folders.push_back(temporary / fmt::format("model-{}", folders.size()));
    write_tiny_model(folders.back(), c.spec);
  }
  const auto expected =
      ask_oracle("greedy.py", temporary, {{"folders", folders}, {"prompt", prompt}, {"n", n}});
  ASSERT_FALSE(expected.is_null());
  for (const at::Device device : devices()) {
    for (size_t i = 0; i < cases().size(); ++i) {
      const Decoder decoder = load_folder(folders[i].get<std::string>(), at::kFloat, device);
      const Ids made = generate(decoder, prompt, {.max_new_tokens = n});
      EXPECT_EQ(made.size(), static_cast<size_t>(n)) << cases()[i].why;
      EXPECT_EQ(made, expected[i].get<Ids>()) << cases()[i].why << " on " << device;
    }
  }
}

// 1,024 new tokens at least, and no doubling goes past the end: 5,001 = 2 x 2,501 - 1.
TEST(LongGeneration, TheCacheEndsWhereTheTextDoes) {
  EXPECT_EQ(first_cache_room(1, 1), 2);
  EXPECT_EQ(first_cache_room(3000, 128), 3128);
  EXPECT_EQ(first_cache_room(1, 2000), 2001);
  EXPECT_EQ(first_cache_room(1, 5000), 1251);
  EXPECT_EQ(first_cache_room(1000, 4001), 2501);
  for (const int64_t prompt : {1, 700, 100'000}) {
    for (const int64_t max_new : {1, 1023, 1025, 4096, 5000, 99'999, 1 << 24}) {
      const int64_t end = prompt + max_new;
      int64_t room = first_cache_room(prompt, max_new);
      EXPECT_GE(room, prompt + std::min<int64_t>(max_new, 1024));
      EXPECT_LE(room, 2 * (prompt + 1024));
      while (room < end) room *= 2;
      EXPECT_LT(room - end, end / 1000 + 1) << prompt << " + " << max_new;
    }
  }
}

// A cache with no room grows; what it holds stays, for every sequence of a batch.
TEST(LongGeneration, ACacheGrows) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder temporary;
  write_tiny_model(temporary / "model", {.n_kv_heads = 2, .max_positions = 512});
  for (const at::Device device : devices()) {
    const Decoder decoder = load_folder(temporary / "model", at::kFloat, device);
    const at::Tensor ids = random_ids(2, 300, 64, 1).to(device);
    KvCache cache(decoder.config(), 2, 1, decoder.dtype(), decoder.device());
    decoder.hidden(ids.narrow(1, 0, 3), &cache);
    EXPECT_EQ(cache.capacity(), 3);
    for (int64_t i = 3; i < 299; ++i) decoder.hidden(ids.narrow(1, i, 1), &cache);
    const at::Tensor last = decoder.logits(decoder.hidden(ids.narrow(1, 299, 1), &cache));
    EXPECT_LE(relative_error(last.select(1, 0), all_logits(decoder, ids).select(1, 299)), 1e-5);
    EXPECT_EQ(cache.capacity(), 384);  // 3 doubled seven times
    EXPECT_EQ(cache.bytes(), 2 * 2 * 2 * 2 * 384 * 8 * 4);
  }
}

}  // namespace
}  // namespace regroup::testing
