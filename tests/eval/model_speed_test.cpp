// What `bench` measures: the work is what it says, and a model with fewer KV heads is as if it were converted.
#include "regroup/eval/model_speed.h"

#include <c10/core/InferenceMode.h>
#include <gtest/gtest.h>

#include "model/decoder_tools.h"
#include "regroup/checkpoint/kv_cache.h"
#include "regroup/eval/machine_speed.h"

namespace regroup::testing {
namespace {

Decoder tiny_decoder(const TemporaryFolder& folder, const TinyModelSpec& spec) {
  write_tiny_model(folder / "model", spec);
  return load_folder(folder / "model");
}

TEST(ModelSpeed, EveryStepOfARepetitionIsTimedAndTheCacheHasTheBytesOfTheFormula) {
  const TemporaryFolder folder;
  const Decoder model = tiny_decoder(folder, {.n_layers = 2, .n_heads = 8, .n_kv_heads = 4});
  const DecodeSpeed speed = measure_decode(model, {.batch = 3, .context = 20}, {.new_tokens = 5});
  ASSERT_EQ(speed.step_s.size(), 5U);
  for (const double seconds : speed.step_s) EXPECT_GT(seconds, 0);
  EXPECT_EQ(speed.kv_bytes, 3 * 25 * kv_bytes_per_token(model.config(), 4, 32));
}

// Beyond the cache's room it would grow, and a step would copy it.
TEST(ModelSpeed, NoStepCopiesTheCache) {
  const TemporaryFolder folder;
  const Decoder model = tiny_decoder(folder, {.n_layers = 1, .n_heads = 8, .n_kv_heads = 8});
  const DecodeSpeed speed = measure_decode(model, {.batch = 1, .context = 4000}, {.new_tokens = 3});
  EXPECT_GT(speed.step_allocated_bytes, 0);
  EXPECT_LT(speed.step_allocated_bytes, speed.kv_bytes / 4);
}

TEST(ModelSpeed, LongPromptsArePrefilledOneByOne) {
  EXPECT_EQ(prefilled_at_once({.batch = 32, .context = 512}), 16);
  EXPECT_EQ(prefilled_at_once({.batch = 8, .context = 512}), 8);
  EXPECT_EQ(prefilled_at_once({.batch = 8, .context = 8192}), 1);
  EXPECT_EQ(prefilled_at_once({.batch = 8, .context = 100'000}), 1);
}

TEST(ModelSpeed, PrefillTakesTime) {
  const TemporaryFolder folder;
  const Decoder model = tiny_decoder(folder, {});
  EXPECT_GT(measure_prefill(model, {.batch = 2, .context = 16}, 0), 0);
}

// The embedding of a tied model multiplies, and is read; another's rows are looked up.
TEST(ModelSpeed, WeightsThatAStepReads) {
  for (const bool tied : {true, false}) {
    const TemporaryFolder folder;
    const Decoder model = tiny_decoder(folder, {.tie_word_embeddings = tied});
    int64_t all = 0;
    for (const NamedWeight& weight : model.named_weights()) all += weight.view.numel();
    const int64_t embedding = model.config().vocab_size * model.config().hidden_size;
    EXPECT_EQ(read_weight_bytes(model), 4 * (tied ? all : all - embedding));
  }
}

TEST(ModelSpeed, TheFirstHeadsOfEachGroupAreKept) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder folder;
  const Decoder model =
      tiny_decoder(folder, {.n_layers = 2, .n_heads = 8, .n_kv_heads = 4, .attention_bias = true});
  Decoder smaller = with_first_heads(model, 2);
  EXPECT_EQ(smaller.config().n_kv_heads, 2);
  const int64_t d = model.config().head_dim;
  Decoder original = model;
  for (int64_t layer = 0; layer < 2; ++layer) {
    for (const Role role : {Role::kKey, Role::kValue, Role::kKeyBias, Role::kValueBias}) {
      const at::Tensor before = layer_view(original.layer(layer), original.config(), role);
      const at::Tensor after = layer_view(smaller.layer(layer), smaller.config(), role);
      ASSERT_EQ(after.size(0), 2 * d);
      EXPECT_TRUE(after.narrow(0, 0, d).equal(before.narrow(0, 0, d)));
      EXPECT_TRUE(after.narrow(0, d, d).equal(before.narrow(0, 2 * d, d)));
    }
    const at::Tensor queries = layer_view(smaller.layer(layer), smaller.config(), Role::kQuery);
    EXPECT_TRUE(queries.equal(layer_view(original.layer(layer), original.config(), Role::kQuery)));
  }
  EXPECT_TRUE(all_logits(smaller, random_ids(1, 7, 64, 1)).isfinite().all().item<bool>());
}

TEST(ModelSpeed, AMadeUpPastIsThereAndCanBeCut) {
  const c10::InferenceMode no_gradients;
  const TemporaryFolder folder;
  const Decoder model = tiny_decoder(folder, {.n_kv_heads = 2});
  KvCache cache(model.config(), 2, 700, at::kFloat, at::kCPU);
  cache.make_up(600);
  EXPECT_EQ(cache.length(), 600);
  const at::Tensor ids = random_ids(2, 1, 64, 1);
  const at::Tensor first = model.logits(model.hidden(ids, &cache));
  EXPECT_EQ(cache.length(), 601);
  EXPECT_TRUE(first.isfinite().all().item<bool>());
  cache.cut(600);
  EXPECT_TRUE(model.logits(model.hidden(ids, &cache)).equal(first));
}

TEST(MachineSpeed, IsMeasured) {
  const MachineSpeed speed = measure_machine(at::kCPU, at::kFloat);
  EXPECT_GT(speed.copy_bytes_per_s, 1e8);
  EXPECT_GT(speed.read_bytes_per_s, 1e8);
  EXPECT_GT(speed.flops_per_s, 1e8);
  EXPECT_GE(speed.bandwidth(), speed.copy_bytes_per_s);
  EXPECT_GE(speed.bandwidth(), speed.read_bytes_per_s);
}

}  // namespace
}  // namespace regroup::testing
